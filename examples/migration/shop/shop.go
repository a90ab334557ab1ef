// Package shop is the contract that all services here share.
package shop

// Order is the value of a record, in JSON. Its key is the ID.
type Order struct {
	ID    string `json:"id"`
	Total int    `json:"total"`
}
