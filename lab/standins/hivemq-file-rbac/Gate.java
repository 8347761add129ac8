package lab.hivemq.filerbac;

import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthInput;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthOutput;
import com.hivemq.extension.sdk.api.auth.parameter.TopicPermission;
import com.hivemq.extension.sdk.api.packets.auth.DefaultAuthorizationBehaviour;
import com.hivemq.extension.sdk.api.packets.connect.ConnackReasonCode;
import com.hivemq.extension.sdk.api.services.builder.Builders;
import java.util.Set;

/** Decides who may connect and what they may do. Without credentials it lets nobody in. */
final class Gate implements SimpleAuthenticator {
    private final Set<String> listeners;
    private volatile Credentials credentials;

    /** Holds for these listeners only, for all when there are none. */
    Gate(final Set<String> listeners) {
        this.listeners = listeners;
    }

    /** From now on these count for new connections; null lets nobody in. */
    void use(final Credentials newOnes) {
        credentials = newOnes;
    }

    @Override
    public void onConnect(final SimpleAuthInput input, final SimpleAuthOutput output) {
        final var listener = input.getConnectionInformation().getListener();
        if (!listeners.isEmpty() && listener.isPresent() && !listeners.contains(listener.get().getName())) {
            output.nextExtensionOrDefault();
            return;
        }
        final var name = input.getConnectPacket().getUserName();
        final var password = input.getConnectPacket().getPassword();
        final var client = input.getClientInformation().getClientId();
        if (name.isEmpty() || password.isEmpty()) {
            output.failAuthentication(ConnackReasonCode.BAD_USER_NAME_OR_PASSWORD, "user name or password is missing");
        } else if (cannotBePartOfATopic(client)) {
            output.failAuthentication(ConnackReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "not allowed in a client identifier: # + ${{");
        } else if (cannotBePartOfATopic(name.get())) {
            output.failAuthentication(ConnackReasonCode.BAD_USER_NAME_OR_PASSWORD, "not allowed in a user name: # + ${{");
        } else {
            decide(name.get(), client, password.get(), output);
        }
    }

    private void decide(final String name, final String client, final java.nio.ByteBuffer password, final SimpleAuthOutput output) {
        final var current = credentials;
        final var user = current == null ? null : current.users().get(name);
        if (user == null || !user.password().matches(password)) {
            output.failAuthentication(ConnackReasonCode.NOT_AUTHORIZED, "invalid credentials");
            return;
        }
        for (final var role : user.roles()) {
            for (final var permission : current.roles().get(role)) {
                output.getDefaultPermissions().add(forClient(permission, client, name));
            }
        }
        output.getDefaultPermissions().setDefaultBehaviour(DefaultAuthorizationBehaviour.DENY);
        output.authenticateSuccessfully();
    }

    private static boolean cannotBePartOfATopic(final String text) {
        return text.contains("#") || text.contains("+") || text.contains("${{");
    }

    private static TopicPermission forClient(final Credentials.Permission permission, final String client, final String name) {
        final var topic = permission.topic()
                .replaceAll("(?i)\\$\\{\\{clientid}}", java.util.regex.Matcher.quoteReplacement(client))
                .replaceAll("(?i)\\$\\{\\{username}}", java.util.regex.Matcher.quoteReplacement(name));
        return Builders.topicPermission().topicFilter(topic).type(TopicPermission.PermissionType.ALLOW)
                .activity(permission.activity()).qos(permission.qos()).retain(permission.retain())
                .sharedSubscription(permission.shared()).sharedGroup(permission.group()).build();
    }
}
