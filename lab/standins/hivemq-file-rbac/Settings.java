package lab.hivemq.filerbac;

import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;

/** {@code conf/config.xml}: how often the credentials are read again, and for which listeners they hold (all when empty). */
record Settings(int reloadSeconds, boolean archive, Set<String> listeners) {
    private static final Set<String> ELEMENTS = Set.of("credentials-reload-interval", "archiver-enabled", "listener-names",
            "password-type", "next-extension-instead-of-fail");

    static Settings read(final Path file) throws Xml.Invalid, Xml.NotImplemented {
        final var elements = Xml.children(Xml.root(file, "extension-configuration"), ELEMENTS);
        if (!Xml.text(elements, "password-type", "HASHED").equals("HASHED")) {
            throw new Xml.NotImplemented("a <password-type> other than HASHED");
        }
        if (!Xml.text(elements, "next-extension-instead-of-fail", "false").equals("false")) {
            throw new Xml.NotImplemented("<next-extension-instead-of-fail> other than false");
        }
        final var listeners = new TreeSet<String>();
        for (final var listener : Xml.list(elements, "listener-names", "listener-name")) {
            listeners.add(listener.getTextContent().strip());
        }
        final var interval = Xml.text(elements, "credentials-reload-interval", "60");
        final var archive = Xml.text(elements, "archiver-enabled", "true");
        try {
            if (Integer.parseInt(interval) < 1 || !Set.of("true", "false").contains(archive)) {
                throw new Xml.NotImplemented("<archiver-enabled>" + archive + " with an interval of " + interval);
            }
            return new Settings(Integer.parseInt(interval), archive.equals("true"), Set.copyOf(listeners));
        } catch (final NumberFormatException error) {
            throw new Xml.Invalid("<credentials-reload-interval> is no number of seconds: " + interval);
        }
    }
}
