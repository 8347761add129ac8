package lab.hivemq.filerbac;

import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartOutput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopOutput;
import com.hivemq.extension.sdk.api.services.Services;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Stands in for HiveMQ's File RBAC extension 4.6.16 on lab hosts: the same files, the same answers to clients.
 * What it does not implement it refuses loudly: an error in the log, and nobody is let in.
 */
public final class FileRbac implements ExtensionMain {
    private static final Logger LOG = LoggerFactory.getLogger("File RBAC (lab stand-in)");
    private Path home;
    private Gate gate = new Gate(Set.of());
    private byte[] lastRead = {};

    @Override
    public void extensionStart(final ExtensionStartInput input, final ExtensionStartOutput output) {
        home = input.getExtensionInformation().getExtensionHomeFolder().toPath();
        LOG.warn("this is a stand-in, good for lab hosts only");
        try {
            for (final var legacy : Set.of("extension-config.xml", "credentials.xml")) {
                if (Files.exists(home.resolve(legacy))) {
                    throw new Xml.NotImplemented("the old place of " + legacy + "; it belongs to conf/");
                }
            }
            final var settings = Settings.read(home.resolve("conf/config.xml"));
            gate = new Gate(settings.listeners());
            reload(settings);
            Services.extensionExecutorService()
                    .scheduleAtFixedRate(() -> reload(settings), settings.reloadSeconds(), settings.reloadSeconds(), TimeUnit.SECONDS);
        } catch (final Xml.Invalid error) {
            LOG.error("conf/config.xml is invalid, nobody is let in: {}", error.getMessage());
        } catch (final Xml.NotImplemented error) {
            LOG.error("not implemented in this stand-in, nobody is let in: {}", error.getMessage());
        }
        final var decided = gate;
        Services.securityRegistry().setAuthenticatorProvider(provider -> decided);
    }

    @Override
    public void extensionStop(final ExtensionStopInput input, final ExtensionStopOutput output) {
        LOG.info("stopped");
    }

    private synchronized void reload(final Settings settings) {
        final var file = home.resolve("conf/credentials.xml");
        try {
            final var content = Files.readAllBytes(file);
            if (Arrays.equals(content, lastRead)) {
                return;
            }
            final var before = lastRead;
            lastRead = content;
            gate.use(Credentials.read(file));
            LOG.info("credentials loaded; they hold for new connections");
            if (settings.archive() && before.length > 0) {
                archive(before);
            }
        } catch (final Xml.Invalid error) {
            LOG.error("conf/credentials.xml is invalid, what was read before still holds: {}", error.getMessage());
        } catch (final Xml.NotImplemented error) {
            LOG.error("not implemented in this stand-in, nobody is let in: {}", error.getMessage());
            gate.use(null);
        } catch (final IOException error) {
            LOG.error("conf/credentials.xml cannot be read, what was read before still holds: {}", error.toString());
        }
    }

    private void archive(final byte[] before) {
        try {
            final var folder = Files.createDirectories(home.resolve("credentials-archive"));
            Files.write(folder.resolve(System.currentTimeMillis() + "-credentials.xml"), before);
        } catch (final IOException error) {
            LOG.warn("the previous credentials could not be archived: {}", error.toString());
        }
    }
}
