"""The studio `lab` as plain processes on this machine's loopback, for where no host can be booted.

The same rendered files and command lines, real VictoriaMetrics, vmalert, Alertmanager, Mosquitto and node_exporter out
of Debian 13's packages, the lab's stand-in of Vector. Nobody needs root: the packages are unpacked into the cache, not
installed, and started through their own dynamic loader. What is not there: containers, systemd, monit, TLS, HiveMQ
(its parts come by Maven, which is no part of every machine; the inventory's other broker takes its place).
"""
