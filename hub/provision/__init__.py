"""Provisioning: waits for a device that comes online, the states devices report, the event log."""
