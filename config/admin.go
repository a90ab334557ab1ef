package config

import "github.com/eventbus-go/eventbus/admin"

// admin reads where the admin handler is served, and its token.
func (r *reader) admin(c *admin.Config) {
	r.text("Admin:Address", &c.Address)
	r.secret("Admin:Token", &c.Token)
	if err := c.Validate(); err != nil {
		r.fault("%s: %w", r.values.origins[r.settings.key("Admin:Address")], err)
	}
}
