package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
	"github.com/lotabots/lotabots/gateway/auth"
)

// bound is a user with a hundred roles of five permissions each.
func bound() (*auth.Principal, error) {
	const roles = 100
	var made []*wire.AccessRole
	var bindings []*wire.Binding
	for i := range roles {
		r := &wire.AccessRole{Id: fmt.Sprintf("role-%d", i)}
		for _, verb := range []string{"infer", "deployments.read", "deployments.write", "keys.read", "keys.write"} {
			kind := access.KindDeployment
			switch verb {
			case "infer":
				kind = access.KindModel
			case "keys.read", "keys.write":
				kind = access.KindKey
			}
			r.Permissions = append(r.Permissions, &wire.Permission{Verb: verb, Resource: fmt.Sprintf("%s:team-%d-*", kind, i)})
		}
		made = append(made, r)
		bindings = append(bindings, &wire.Binding{Id: fmt.Sprintf("b%03d", i), Subject: "user:u", Role: r.Id, Tenant: "t"})
	}
	table := auth.New("bench")
	err := table.Load(auth.Records{Roles: slices.Values(made), Bindings: slices.Values(bindings),
		Users: slices.Values([]*wire.User{{Id: "u", Name: "u", Tenant: "t"}})})
	who, _ := table.Subject("user:u")
	return who, err
}

func measureDecisions(rounds int) ([]figure, error) {
	who, err := bound()
	if err != nil {
		return nil, err
	}
	first := access.Resource{Kind: access.KindModel, Name: "team-0-llama", Tenant: "t"}
	last := access.Resource{Kind: access.KindModel, Name: "team-99-llama", Tenant: "t"}
	none := access.Resource{Kind: access.KindModel, Name: "team-100-llama", Tenant: "t"}
	if !who.May(access.Infer, first) || !who.May(access.Infer, last) || who.May(access.Infer, none) {
		return nil, errors.New("the hundred roles decide wrongly")
	}
	const few = 20
	var one, all, refused, explained []float64
	for range rounds * 20 {
		one = append(one, per(few, func(int) { who.May(access.Infer, first) }))
		all = append(all, per(few, func(int) { who.May(access.Infer, last) }))
		refused = append(refused, per(few, func(int) { who.May(access.Infer, none) }))
		explained = append(explained, per(few, func(int) { who.Explain(access.Infer, none) }))
	}
	allocs := testing.AllocsPerRun(1000, func() { who.May(access.Infer, none) })
	return []figure{
		{"can_i_100_roles_first_allows", median(one), "ns/op", "", true},
		{"can_i_100_roles_last_allows", median(all), "ns/op", "", true},
		{"can_i_100_roles_none_allows", median(refused), "ns/op", "", true},
		{"can_i_100_roles_allocations", allocs, "allocs/op", "<= 0", allocs == 0},
		{"can_i_100_roles_explained", median(explained), "ns/op", "", true},
	}, nil
}
