package usage

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

// overhead is what a record takes beside its encoding: key and sum of bytes.
const overhead = 18

func size(r *wire.UsageRecord) uint64 { return uint64(proto.Size(r) + overhead) }

func decode(key, value []byte) (before uint64, r *wire.UsageRecord, err error) {
	r = &wire.UsageRecord{}
	if len(value) < 8 {
		return 0, nil, fmt.Errorf("record %d has %d bytes", numberOf(key), len(value))
	}
	if err := proto.Unmarshal(value[8:], r); err != nil {
		return 0, nil, fmt.Errorf("record %d: %w", numberOf(key), err)
	}
	return binary.BigEndian.Uint64(value), r, nil
}

// maxName is what the state takes.
const maxName = 256

// plain makes a record one that the state takes.
func plain(r *wire.UsageRecord) {
	for _, s := range []*string{&r.Tenant, &r.User, &r.Key, &r.Deployment, &r.Adapter, &r.Endpoint, &r.Region, &r.Outcome, &r.Request, &r.Node, &r.Code, &r.Cache} {
		if len(*s) > maxName || strings.IndexByte(*s, 0) >= 0 || !utf8.ValidString(*s) {
			*s = strings.ToValidUTF8(strings.ReplaceAll((*s)[:min(len(*s), maxName-3)], "\x00", "?"), "?")
		}
	}
}

const minuteMS = 60_000

// alike are the names that requests have in common which are summed up together, beside the minute and the version.
var alike = [...]uint8{fieldTenant, fieldUser, fieldKey, fieldDeployment, fieldAdapter, fieldEndpoint, fieldRegion, fieldOutcome}

// A sum adds up records, in up to most rows.
type sum struct {
	versions bool // of deployments are told apart
	rows     []*wire.UsageRow
	at       map[string]*wire.UsageRow // by what they have in common
	key      []byte                    // the last record's
}

// add counts r, unless it would take more than most rows.
func (s *sum) add(r *scan, most int) (ok bool, err error) {
	minute, version := r.atMs()-r.atMs()%minuteMS, uint64(0)
	if s.versions {
		version = r.numbers[fieldVersion]
	}
	key := binary.AppendUvarint(binary.LittleEndian.AppendUint64(s.key[:0], uint64(minute)), version)
	for _, field := range alike {
		name := r.name(int(field))
		key = append(binary.AppendUvarint(key, uint64(len(name))), name...)
	}
	s.key = key
	row := s.at[string(key)]
	if row == nil {
		if len(s.rows) >= most {
			return false, nil
		}
		if row, err = begin(r, minute, version); err != nil {
			return false, err
		}
		if s.at == nil {
			s.at = map[string]*wire.UsageRow{}
		}
		s.at[string(key)], s.rows = row, append(s.rows, row)
	}
	row.Requests++
	if r.numbers[fieldUnknown] != 0 {
		row.Unknown++
	}
	row.Prompt += r.numbers[fieldPrompt]
	row.Cached += r.numbers[fieldCached]
	row.Completion += r.numbers[fieldCompletion]
	row.GpuMs += r.numbers[fieldGpuMs]
	row.Attempts += uint64(uint32(r.numbers[fieldAttempts]))
	row.DurationMs += r.numbers[fieldDurationMs]
	return true, nil
}

// begin returns the row of those that are like r, without any.
func begin(r *scan, minute int64, version uint64) (*wire.UsageRow, error) {
	for _, field := range alike {
		if name := r.name(int(field)); !utf8.Valid(name) {
			return nil, fmt.Errorf("a record's field %d is no UTF-8: %q", field, name)
		}
	}
	name := func(field int) string { return string(r.name(field)) }
	return &wire.UsageRow{AtMs: minute, PeriodS: minuteMS / 1000, Tenant: name(fieldTenant), User: name(fieldUser), Key: name(fieldKey),
		Deployment: name(fieldDeployment), Version: version, Adapter: name(fieldAdapter), Endpoint: name(fieldEndpoint), Region: name(fieldRegion), Outcome: name(fieldOutcome)}, nil
}
