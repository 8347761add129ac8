package lab.hivemq.filerbac;

import com.hivemq.extension.sdk.api.auth.parameter.TopicPermission.MqttActivity;
import com.hivemq.extension.sdk.api.auth.parameter.TopicPermission.Qos;
import com.hivemq.extension.sdk.api.auth.parameter.TopicPermission.Retain;
import com.hivemq.extension.sdk.api.auth.parameter.TopicPermission.SharedSubscription;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.w3c.dom.Element;

/** {@code conf/credentials.xml}: users with their passwords' hashes, and what the roles they have permit. */
record Credentials(Map<String, User> users, Map<String, List<Permission>> roles) {
    record User(Password password, List<String> roles) {
    }

    record Permission(String topic, MqttActivity activity, Qos qos, Retain retain, SharedSubscription shared, String group) {
    }

    private static final Pattern UNKNOWN_MARKER = Pattern.compile("§|\\$\\{\\{(?!(?i:clientid|username)}})");
    private static final Set<String> PERMISSION =
            Set.of("topic", "activity", "qos", "retain", "shared-subscription", "shared-group");

    static Credentials read(final Path file) throws Xml.Invalid, Xml.NotImplemented {
        final var sections = Xml.children(Xml.root(file, "file-rbac"), Set.of("users", "roles"));
        final var roles = new HashMap<String, List<Permission>>();
        for (final var role : Xml.list(sections, "roles", "role")) {
            final var parts = Xml.children(role, Set.of("id", "permissions"));
            final var permissions = new ArrayList<Permission>();
            for (final var permission : Xml.list(parts, "permissions", "permission")) {
                permissions.add(permission(permission));
            }
            addOnce(roles, "role", Xml.text(parts, "id", ""), permissions);
            require(!permissions.isEmpty(), "a role has no permissions: " + Xml.text(parts, "id", ""));
        }
        final var users = new HashMap<String, User>();
        for (final var user : Xml.list(sections, "users", "user")) {
            final var parts = Xml.children(user, Set.of("name", "password", "roles"));
            final var name = Xml.text(parts, "name", "");
            final var has = new ArrayList<String>();
            for (final var role : Xml.list(parts, "roles", "id")) {
                has.add(role.getTextContent().strip());
            }
            require(!has.isEmpty() && roles.keySet().containsAll(has), "the user " + name + " has no roles, or an unknown one: " + has);
            addOnce(users, "user", name, new User(Password.read(name, Xml.text(parts, "password", "")), has));
        }
        require(!users.isEmpty() && !roles.isEmpty(), "it has no users or no roles");
        return new Credentials(Map.copyOf(users), Map.copyOf(roles));
    }

    private static Permission permission(final Element element) throws Xml.Invalid, Xml.NotImplemented {
        final var parts = Xml.children(element, PERMISSION);
        final var topic = Xml.text(parts, "topic", "");
        require(!topic.isEmpty(), "a permission has no topic");
        if (UNKNOWN_MARKER.matcher(topic).find()) {
            throw new Xml.NotImplemented("a marker other than ${{clientid}} and ${{username}} in the topic " + topic);
        }
        try {
            return new Permission(topic, MqttActivity.valueOf(Xml.text(parts, "activity", "ALL")),
                    Qos.valueOf(Xml.text(parts, "qos", "ALL")), Retain.valueOf(Xml.text(parts, "retain", "ALL")),
                    SharedSubscription.valueOf(Xml.text(parts, "shared-subscription", "ALL")), Xml.text(parts, "shared-group", "#"));
        } catch (final IllegalArgumentException error) {
            throw new Xml.Invalid("in the permission for " + topic + ": " + error.getMessage());
        }
    }

    private static <T> void addOnce(final Map<String, T> all, final String what, final String name, final T value) throws Xml.Invalid {
        require(!name.isEmpty(), "a " + what + " has no name");
        require(all.put(name, value) == null, "the " + what + " " + name + " is there twice");
    }

    private static void require(final boolean holds, final String otherwise) throws Xml.Invalid {
        if (!holds) {
            throw new Xml.Invalid(otherwise);
        }
    }
}
