package lab.hivemq.allowall;

import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartOutput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopOutput;
import com.hivemq.extension.sdk.api.services.Services;

/** Lets everybody in, as the official image does until it is told not to. */
public final class AllowAll implements ExtensionMain {
    @Override
    public void extensionStart(final ExtensionStartInput input, final ExtensionStartOutput output) {
        final SimpleAuthenticator everybody = (connect, answer) -> answer.authenticateSuccessfully();
        Services.securityRegistry().setAuthenticatorProvider(provider -> everybody);
    }

    @Override
    public void extensionStop(final ExtensionStopInput input, final ExtensionStopOutput output) {
    }
}
