package gateway

import (
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lotabots/lotabots/gateway/openai"
)

// TestByNode: each request is counted once, whoever counts at the same time, and of nodes beyond so many together.
func TestByNode(t *testing.T) {
	b := newByNode()
	const nodes, counters = mostNodes + 50, 8
	var all sync.WaitGroup
	for range counters {
		all.Go(func() {
			for n := range nodes {
				b.count("n"+strconv.Itoa(n), openai.Chat, "", 1)
				b.count("n"+strconv.Itoa(n), openai.Chat, "busy", 1)
			}
			b.count("", openai.Chat, "", 1)
		})
	}
	all.Wait()
	labels, sums := map[string]bool{}, map[string]float64{}
	for _, m := range gathered(t, b.ended) {
		of := map[string]string{}
		for _, l := range m.GetLabel() {
			of[l.GetName()] = l.GetValue()
		}
		labels[of["node"]] = true
		sums[of["code"]] += m.GetCounter().GetValue()
	}
	if len(labels) != mostNodes+1 || !labels[otherNodes] || sums["ok"] != nodes*counters || sums["busy"] != nodes*counters {
		t.Errorf("%d nodes, %v", len(labels), sums)
	}
	took := uint64(0)
	for _, m := range gathered(t, b.took) {
		took += m.GetHistogram().GetSampleCount()
	}
	if took != 2*nodes*counters {
		t.Errorf("%d times", took)
	}
}

func gathered(t *testing.T, c prometheus.Collector) []*dto.Metric {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	all, err := reg.Gather()
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0].GetMetric()
}
