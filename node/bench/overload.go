package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/lotabots/lotabots/node/client"
)

// The engine under overload: so many requests at a time, and how long each takes, so
// that neither it nor the generator needs much of the machine.
const (
	overloadSlots    = 8
	overloadTokens   = 16
	overloadFirst    = 20 * time.Millisecond
	overloadInterval = 2 * time.Millisecond
	promptUnits      = 8 // that the mock engine tells of each prompt
)

// Lengths of the parts of an overload run.
const (
	peakFor     = 6 * time.Second
	unfairFor   = 18 * time.Second
	settlesFor  = 3 * time.Second // at the beginning of each, which does not count
	overFactor  = 3.0
	calmFactor  = 0.5
	windowWidth = 500 * time.Millisecond
)

// benchOverload sends more than can be served to a node, and more than their part for one
// of two tenants.
func benchOverload(ctx context.Context, s settings) error {
	p := &parts{}
	defer p.stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if p.fast, _, err = p.serve(self, "slots"); err != nil {
		return err
	}
	p.paced = p.fast
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := p.startCluster(starting, s.binary); err != nil {
		return err
	}
	keys, err := p.overloadKeys(starting, overloadSlots)
	if err != nil {
		return err
	}
	t := target{p.lota, fastModel, keys["calm"]}
	if err := t.await(); err != nil {
		return err
	}
	peak := 0.0
	for range 2 {
		peak = max(peak, saturate(ctx, t, question(fastModel, overloadTokens), 2*overloadSlots, peakFor/2))
	}
	if peak == 0 {
		return errors.New("no request was answered")
	}
	fmt.Printf("%d slots; one closed loop of %d gets %.0f answers/s\n\n", overloadSlots, 2*overloadSlots, peak)
	r := surge{"overload", 4 * time.Second, 20 * time.Second, 10 * time.Second}
	figures := r.figures(r.run(ctx, t.address, keys, peak), peak)
	// Of two that wait all the time, one asks for ten times as much, and for answers twice as long.
	units := peak * (promptUnits + 2*overloadTokens)
	light := offer{keys["calm"], overloadTokens / 2, 0.75 * units / (promptUnits + overloadTokens)}
	heavy := offer{keys["flood"], overloadTokens, 7.5 * units / (promptUnits + 2*overloadTokens)}
	unfair := openLoop(ctx, p.lota, fastModel, []offer{light, heavy}, []stage{{unfairFor, 1}})
	figures = append(figures, fairnessFigures(unfair, []offer{light, heavy})...)
	return tell(ctx, figures)
}

// tell prints the figures of a run that came to its end.
func tell(ctx context.Context, figures []figure) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, f := range figures {
		fmt.Println(f)
	}
	return nil
}

// overloadKeys deploys the engine and makes a key in each of four tenants: top has the
// highest priority, low the lowest.
func (p *parts) overloadKeys(ctx context.Context, slots int) (map[string]string, error) {
	api := client.New(p.key, "http://"+p.lota)
	put := func(path string, body map[string]any) error {
		return api.Do(ctx, http.MethodPut, "/admin/v1/"+path, body, nil)
	}
	if err := put("deployments/"+fastModel, map[string]any{"engine": "external", "options": map[string]string{"url": "http://" + p.fast}, "replicas": 1, "slots": slots}); err != nil {
		return nil, err
	}
	keys := map[string]string{}
	for _, tenant := range []string{"top", "calm", "low", "flood"} {
		if err := put("tenants/"+tenant, map[string]any{}); err != nil {
			return nil, err
		}
		var made struct{ Key string }
		if err := api.Do(ctx, http.MethodPost, "/admin/v1/keys", map[string]any{"name": tenant, "tenant": tenant, "scopes": []string{"infer"}}, &made); err != nil {
			return nil, err
		}
		keys[tenant] = made.Key
	}
	if err := put("settings/priority/tenants/top", map[string]any{"value": "critical"}); err != nil {
		return nil, err
	}
	return keys, put("settings/priority/tenants/low", map[string]any{"value": "low"})
}

// A surge is a run in which the load is thrice what can be served for a while.
type surge struct {
	name              string
	calm, over, after time.Duration
}

// run sends it, of three tenants, where peak a second can be served.
func (r surge) run(ctx context.Context, address string, keys map[string]string, peak float64) []answer {
	return openLoop(ctx, address, fastModel, []offer{
		{keys["top"], overloadTokens, 0.1 * peak}, {keys["calm"], overloadTokens, 0.6 * peak}, {keys["low"], overloadTokens, 0.3 * peak},
	}, []stage{{r.calm, calmFactor}, {r.over, overFactor}, {r.after, calmFactor}})
}

func (r surge) figures(all []answer, peak float64) []figure {
	from, to := r.calm+settlesFor, r.calm+r.over
	served, top, topLost, said, kinds := 0, 0, 0, 0, map[int]int{}
	var calm, waited []time.Duration
	for _, a := range all {
		if a.ok() && a.ended >= from && a.ended < to {
			served++
		}
		if a.sent < r.calm && a.ok() {
			calm = append(calm, a.took())
		}
		if a.sent < r.calm || a.sent >= to {
			continue
		}
		kinds[a.status]++
		if !a.ok() && a.waits > 0 {
			said++
		}
		if a.offer == 0 {
			if top++; a.ok() {
				waited = append(waited, a.took())
			} else {
				topLost++
			}
		}
	}
	usual := quantile(calm, 0.5)
	refused := kinds[http.StatusTooManyRequests] + kinds[http.StatusServiceUnavailable]
	fmt.Printf("%s: answers by status %v; of the highest priority %d of %d lost, the others took %v (p50) and %v (p99); without overload %v\n\n",
		r.name, kinds, topLost, top, quantile(waited, 0.5).Round(time.Millisecond), quantile(waited, 0.99).Round(time.Millisecond), usual.Round(time.Millisecond))
	return []figure{
		{r.name + "_goodput_ratio", float64(served) / (to - from).Seconds() / peak, "x", ">=", 0.95},
		{r.name + "_top_priority_shed", 100 * float64(topLost) / float64(max(1, top)), "%", "<=", 0.1},
		{r.name + "_recovery", recovery(all, to, 3*usual).Seconds(), "s", "<=", 10},
		{r.name + "_refusals_with_retry_after", 100 * float64(said) / float64(max(1, refused)), "%", ">=", 100},
	}
}

// recovery is how long after the load fell it took until requests were served as before:
// none refused, and half of them within usual.
func recovery(all []answer, fell, usual time.Duration) time.Duration {
	windows := map[int][]answer{}
	for _, a := range all {
		if a.sent >= fell {
			windows[int((a.sent-fell)/windowWidth)] = append(windows[int((a.sent-fell)/windowWidth)], a)
		}
	}
	last := time.Duration(0)
	for n, w := range windows {
		var took []time.Duration
		lost := false
		for _, a := range w {
			took, lost = append(took, a.took()), lost || !a.ok()
		}
		if lost || quantile(took, 0.5) > usual {
			last = max(last, time.Duration(n+1)*windowWidth)
		}
	}
	return last
}

// fairnessFigures are of two tenants that both wait all the time.
func fairnessFigures(all []answer, offers []offer) []figure {
	slices.SortFunc(all, func(a, b answer) int { return int(a.ended - b.ended) })
	had, refused, came := make([]float64, len(offers)), make([]int, len(offers)), make([]int, len(offers))
	lowest, highest, dearest := 0.0, 0.0, 0.0
	for _, a := range all {
		if a.ended < settlesFor || a.ended >= unfairFor {
			continue
		}
		came[a.offer]++
		if !a.ok() {
			refused[a.offer]++
			continue
		}
		cost := promptUnits + 2*float64(offers[a.offer].tokens)
		dearest = max(dearest, cost)
		had[a.offer] += cost
		gap := had[1] - had[0]
		lowest, highest = min(lowest, gap), max(highest, gap)
	}
	bound := 2*dearest + overloadSlots*dearest // and what is under way, which is counted at its end here
	fmt.Printf("fairness: the light tenant asked %d times (%d refused) and had %.0f tokens' worth, the heavy one %d (%d refused) and %.0f\n\n",
		came[0], refused[0], had[0], came[1], refused[1], had[1])
	return []figure{
		{"fairness_jain", jain(had), "index", ">=", 0.98},
		{"fairness_gap_to_bound", (highest - lowest) / bound, "x", "<=", 1},
	}
}

// jain is Jain's index: 1 where all have the same, 1/n where one has all.
func jain(had []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, h := range had {
		sum += h
		squares += h * h
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(had)) * squares)
}
