"""A simulated studio: furnaces with flames, a thermal camera and plants that report over MQTT as real devices do."""
