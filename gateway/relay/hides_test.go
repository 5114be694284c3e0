package relay

import (
	"strings"
	"testing"
	"time"
)

// TestHiddenCacheIsNotTold: where an answer hides what was cached, its number of cached tokens is taken for none, by
// those who count and by those who ask.
func TestHiddenCacheIsNotTold(t *testing.T) {
	const usage = `"usage":{"prompt_tokens":30,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":7}}`
	for _, stream := range []bool{false, true} {
		for _, hedged := range []bool{false, true} {
			for _, hides := range []bool{false, true} {
				b := newBench(t, "a")
				b.prepare = func(x *Exchange) {
					x.Trace = true
					if x.Hedge = hedged; hedged {
						x.Call.Deadline = time.Now().Add(time.Minute)
					}
				}
				p := says(200, `{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],`+usage+`}`)
				if stream {
					p = streams("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n", "data: {\"choices\":[],"+usage+"}\n\ndata: [DONE]\n\n")
				}
				p.hides = hides
				b.plays("a", p)
				res, body := b.get(stream)
				o := b.outcome()
				if !o.HasUsage || o.Usage.Prompt != 30 || o.Usage.Completion != 2 || o.Usage.HasCached == hides || (o.Usage.Cached == 7) == hides {
					t.Errorf("stream %t, hedged %t, hides %t: %+v", stream, hedged, hides, o)
				}
				told := res.Header.Get("X-LotaBots-Trace")
				if stream {
					_, told, _ = strings.Cut(body, ": lotabots-trace ")
				}
				if !strings.Contains(told, `"cached":`) || strings.Contains(told, `"cached":7`) == hides {
					t.Errorf("stream %t, hedged %t, hides %t: the trace is %q", stream, hedged, hides, told)
				}
			}
		}
	}
}
