package directory

// SetDialer makes a client connect in another way than by TCP.
func (c *Config) SetDialer(d dialer) { c.dialer = d }
