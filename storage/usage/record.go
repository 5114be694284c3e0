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

// alike is what requests have in common that are summed up together.
type alike struct {
	minute                                                          int64
	version                                                         uint64
	tenant, user, key, deployment, adapter, endpoint, region, ended string
}

const minuteMS = 60_000

// A sum adds up records, in up to most rows.
type sum struct {
	versions bool // of deployments are told apart
	rows     []*wire.UsageRow
	at       map[alike]*wire.UsageRow
}

// add counts r, unless it would take more than most rows.
func (s *sum) add(r *wire.UsageRecord, most int) bool {
	version := r.GetVersion()
	if !s.versions {
		version = 0
	}
	key := alike{r.GetAtMs() - r.GetAtMs()%minuteMS, version, r.GetTenant(), r.GetUser(), r.GetKey(), r.GetDeployment(), r.GetAdapter(), r.GetEndpoint(), r.GetRegion(), r.GetOutcome()}
	row := s.at[key]
	if row == nil {
		if len(s.rows) >= most {
			return false
		}
		if s.at == nil {
			s.at = map[alike]*wire.UsageRow{}
		}
		row = &wire.UsageRow{AtMs: key.minute, PeriodS: minuteMS / 1000, Tenant: key.tenant, User: key.user, Key: key.key,
			Deployment: key.deployment, Version: key.version, Adapter: key.adapter, Endpoint: key.endpoint, Region: key.region, Outcome: key.ended}
		s.at[key], s.rows = row, append(s.rows, row)
	}
	row.Requests++
	if r.GetUnknown() {
		row.Unknown++
	}
	row.Prompt += r.GetPrompt()
	row.Cached += r.GetCached()
	row.Completion += r.GetCompletion()
	row.GpuMs += r.GetGpuMs()
	row.Attempts += uint64(r.GetAttempts())
	row.DurationMs += r.GetDurationMs()
	return true
}
