package lab.hivemq.filerbac;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;

/** A hashed password: {@code base64(salt):iterations:base64(PBKDF2-HMAC-SHA512, 64 bytes)}, over the decoded salt. */
record Password(byte[] salt, int iterations, byte[] hash) {
    static Password read(final String user, final String text) throws Xml.Invalid, Xml.NotImplemented {
        final var parts = text.split(":");
        if (parts.length < 2) {
            throw new Xml.Invalid("the user " + user + " has no valid password");
        }
        if (parts.length != 3) {
            throw new Xml.NotImplemented("a password without a number of iterations, of the user " + user);
        }
        try {
            final var decoder = Base64.getDecoder();
            final var password = new Password(decoder.decode(parts[0]), Integer.parseInt(parts[1]), decoder.decode(parts[2]));
            if (password.hash.length == 64 && password.iterations > 0 && password.salt.length > 0) {
                return password;
            }
        } catch (final IllegalArgumentException error) {
            // said below
        }
        throw new Xml.Invalid("the user " + user + " has no valid password");
    }

    boolean matches(final ByteBuffer given) {
        final var characters = StandardCharsets.UTF_8.decode(given.asReadOnlyBuffer());
        final var text = new char[characters.remaining()];
        characters.get(text);
        try {
            final var factory = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA512");
            final var computed = factory.generateSecret(new PBEKeySpec(text, salt, iterations, 512)).getEncoded();
            return MessageDigest.isEqual(computed, hash);
        } catch (final GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }
}
