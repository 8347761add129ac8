"""ThingsBoard's device provisioning, server side: over MQTT on a listener of its own, and over HTTP."""
