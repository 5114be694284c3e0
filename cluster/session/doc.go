// Package session opens, refreshes and ends log-ins: by password, or by single
// sign-on at an OIDC provider.
//
// Its Server runs on voters, which alone can open the keys that sign access
// tokens; gateways ask through Client. A session is a record of the agreed state:
// of its refresh token the state keeps hashes, and which one is the newest is
// decided by applying RefreshSession. Whatever else a Server hands out (the start
// of a single sign-on, a one-time code) is sealed, so that every voter can take it
// up and none keeps anything of its own. Maintain looks after the keys: it makes
// them, rotates them, and seals them to the voters that there are.
//
// node/ mounts Handler for gateways, runs Maintain, and gives the gateway a Client.
// The package sees the state, Raft and the port through its Config; it must not
// import storage, actors or gateway.
//
// Not done yet: users made by single sign-on have no tenant; a provider is asked at
// log-ins alone, and not told of a log-out. A removed voter may have kept the OIDC
// client's secret, which only the provider can change.
//
// The tests with the build tag e2e log in at a real provider's process, which they
// install from npm.
package session
