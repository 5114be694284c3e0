package storage

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// events tells of what happens in the database: to the log, and counted for
// the metrics. It is also Pebble's logger.
type events struct {
	log    *slog.Logger
	slow   atomic.Uint64 // operations on the disk that took too long
	stalls atomic.Uint64 // times that writes had to wait for flushes or compactions
	faults atomic.Uint64 // errors in the background, and damage found
	fail   func(error)   // ends the database's writes
}

func (e *events) Infof(format string, args ...any)  { e.log.Debug(fmt.Sprintf(format, args...)) }
func (e *events) Errorf(format string, args ...any) { e.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf ends the database's writes, and never returns: Pebble calls it where a
// write to its log or manifest has failed, and would go on to acknowledge it.
// The process lives on: it has streams to end and can still be asked.
func (e *events) Fatalf(format string, args ...any) {
	e.fail(fmt.Errorf(format, args...))
	select {}
}

func (e *events) listener() pebble.EventListener {
	return pebble.EventListener{
		BackgroundError: func(err error) {
			e.faults.Add(1)
			e.log.Error("the database failed in the background", "error", err)
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			e.faults.Add(1)
			e.log.Error("the database is damaged", "file", i.Path, "error", i.Details)
		},
		DiskSlow: func(i pebble.DiskSlowInfo) {
			e.slow.Add(1)
			e.log.Warn("the disk is slow", "operation", i.OpType.String(), "file", i.Path, "seconds", i.Duration.Seconds(), "bytes", i.WriteSize)
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			e.stalls.Add(1)
			e.log.Warn("writes to the database wait", "reason", i.Reason)
		},
		WriteStallEnd: func() { e.log.Info("writes to the database wait no longer") },
		LowDiskSpace: func(i pebble.LowDiskSpaceInfo) {
			e.log.Warn("the disk is nearly full", "free_bytes", i.AvailBytes, "total_bytes", i.TotalBytes)
		},
		FormatUpgrade: func(v pebble.FormatMajorVersion) {
			e.log.Info("the database's files have a newer format", "format", uint64(v))
		},
		PossibleAPIMisuse: func(i pebble.PossibleAPIMisuseInfo) {
			e.log.Warn("the database suspects a mistake in its use", "kind", i.String())
		},
		CompactionEnd: func(i pebble.CompactionInfo) {
			e.log.Debug("compacted", "job", i.JobID, "seconds", i.TotalDuration.Seconds(), "error", i.Err)
		},
		FlushEnd: func(i pebble.FlushInfo) {
			e.log.Debug("flushed", "job", i.JobID, "seconds", i.TotalDuration.Seconds(), "error", i.Err)
		},
	}
}
