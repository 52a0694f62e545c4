package brokertest

import "github.com/polylog-mq/polylog/internal/store"

// smallFiles makes a store rotate and checkpoint soon.
func smallFiles(o *store.Options) {
	o.WALFileSize = 256 << 10
	o.CheckpointBytes = 1 << 20
}
