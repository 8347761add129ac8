#!/bin/bash
# HiveMQ's embedded edition in the layout of the official image.
set -e
java=(/usr/lib/jvm/java-21-openjdk-*/bin/java)
options=(-Dhivemq.home=/opt/hivemq -Djava.net.preferIPv4Stack=true -XX:+ExitOnOutOfMemoryError
    --add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.nio=ALL-UNNAMED
    --add-opens java.base/sun.nio.ch=ALL-UNNAMED --add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED)
if [ "${HIVEMQ_JMX_ENABLED:-true}" = "true" ]; then
    options+=("-Dcom.sun.management.jmxremote" "-Dcom.sun.management.jmxremote.port=${HIVEMQ_JMX_PORT:-9010}"
        "-Dcom.sun.management.jmxremote.local.only=false" "-Dcom.sun.management.jmxremote.authenticate=false"
        "-Dcom.sun.management.jmxremote.ssl=false")
fi
# JAVA_OPTS are words, as in the official image
# shellcheck disable=SC2086
exec "${java[0]}" "${options[@]}" $JAVA_OPTS -cp "/opt/hivemq/lib/*" com.hivemq.HiveMQServer
