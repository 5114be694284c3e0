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
package session
