// Package data carries the flights that left New York City in January 2013; its
// README says where they come from.
package data

import _ "embed" // for the excerpt

// January is a gzipped CSV with a header line and 27,004 flights.
//
//go:embed flights-2013-01.csv.gz
var January []byte
