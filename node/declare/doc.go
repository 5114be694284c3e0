// Package declare is the cluster's configuration as documents: it reads them
// from YAML, compares them with what a cluster has, and writes the difference
// through the admin API. lotabots apply and export are made of it.
//
// A document is whole: a field that it leaves out has its default, whatever the
// cluster had before. Tenants, settings and deployments are documents. Not among
// them are API keys, whose texts no one keeps, and models, which are files that
// deployments name. Only deployments can be removed: the state has no command
// that removes a tenant or a setting.
//
// It imports no room but the words of cluster/spec: node/client's interface and node/config's search for the
// nearest name are all it knows.
package declare
