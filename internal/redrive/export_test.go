package redrive

import "time"

// SetLease has a Client that watches take a process for gone sooner.
func (c *Client) SetLease(d time.Duration) { c.lease = d }
