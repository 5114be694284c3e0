package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ledgerPatience bounds the look at what gateways have written down.
const ledgerPatience = 20 * time.Second

// A written is how often the gateways' ledgers have each request, by its id.
type written map[string]int

// ledger reads what all gateways have written down since the run began. Its error says that it could not be read whole.
func (r *run) ledger(ctx context.Context) (written, error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerPatience)
	defer cancel()
	for {
		w, err := r.readLedger(ctx)
		if err == nil || !sleep(ctx, 200*time.Millisecond) {
			return w, err
		}
	}
}

// lookAtLedgers is for when all faults have ended.
func (r *run) lookAtLedgers(ctx context.Context) {
	w, err := r.ledger(ctx)
	if err != nil {
		r.unread = err.Error()
	} else if len(w) > 0 || r.config.Attach == "" { // what another's cluster writes down is for its owner to say
		r.written = w
	}
}

func (r *run) readLedger(ctx context.Context) (written, error) {
	n, w := r.cluster.nodes[0], written{}
	asked := url.Values{"limit": {"1000"}, "from": {strconv.FormatInt(r.began.Add(-time.Second).UnixMilli(), 10)}}
	for {
		p := r.registry.call(ctx, n, n.key, http.MethodGet, "/admin/v1/usage/records?"+asked.Encode(), nil, 0)
		var page struct {
			Data []struct {
				Request string `json:"request_id"`
			}
			Next   string   `json:"next_cursor"`
			Silent []string `json:"silent_gateways"`
		}
		if p.err != nil || p.status != http.StatusOK {
			return nil, fmt.Errorf("node %s does not tell what is written down: %d %s %w", n.ID, p.status, p.code, p.err)
		}
		if err := json.Unmarshal(p.body, &page); err != nil {
			return nil, err
		}
		if len(page.Silent) > 0 {
			return nil, fmt.Errorf("gateways do not tell what they have written down: %v", page.Silent)
		}
		for _, record := range page.Data {
			w[record.Request]++
		}
		if page.Next == "" {
			return w, nil
		}
		asked.Set("cursor", page.Next)
	}
}
