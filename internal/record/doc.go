// Package record is the vocabulary at the bottom of the house: the identifiers
// every floor shares, and the one canonical record and batch (the Kafka v2
// record batch, DESIGN §5) with its header walk, validation, checksum,
// compression and construction.
package record
