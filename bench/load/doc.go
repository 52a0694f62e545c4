// Package load generates Kafka load with as little client work as possible, so
// that the server and not the client is what a run measures: Produce requests
// are encoded once and only their correlation id changes; of an answer only
// the error code is read, and of fetched batches only the headers.
package load
