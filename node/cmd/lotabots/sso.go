package main

import (
	"bufio"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/client"
)

func ssoCommand() *cobra.Command {
	c := &cobra.Command{Use: "sso", Short: "Have users log in at an OIDC provider"}
	flags := where(c)
	c.AddCommand(ssoSetCommand(flags), ssoShowCommand(flags))
	return c
}

// ssoSettings are the flags of sso set, and the settings that they are kept in.
var ssoSettings = []struct{ flag, setting, help string }{
	{"issuer", spec.SettingOIDCIssuer, "URL of the provider, where /.well-known/openid-configuration is"},
	{"client-id", spec.SettingOIDCClientID, "what the provider calls this cluster"},
	{"groups-claim", spec.SettingOIDCGroups, "claim that has the user's groups; default: groups"},
	{"scopes", spec.SettingOIDCScopes, "scopes to ask for besides openid; default: profile email groups"},
	{"tenant", spec.SettingOIDCTenant, "home tenant of users made from now on; default: none"},
}

func ssoSetCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "set", Short: "Say where users log in; the provider must allow URL/auth/v1/oidc/callback of each gateway", Args: cobra.NoArgs}
	values := map[string]*string{}
	for _, s := range ssoSettings {
		values[s.flag] = c.Flags().String(s.flag, "", s.help)
	}
	secret := c.Flags().Bool("client-secret-stdin", false, "read the client's secret at the provider from standard input; only voters can open it")
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		if *secret {
			value, err := readPassword(c, bufio.NewReader(c.InOrStdin()), true, "")
			if err != nil {
				return err
			}
			if err := api.Do(c.Context(), "PUT", "/admin/v1/secrets/"+spec.OIDCClientSecret, map[string]string{"value": value}, nil); err != nil {
				return err
			}
		}
		for _, s := range ssoSettings {
			if !c.Flags().Changed(s.flag) {
				continue
			}
			if err := putSetting(c, api, s.setting, *values[s.flag]); err != nil {
				return err
			}
		}
		fmt.Fprintln(c.OutOrStdout(), "users may log in with lotabots login --sso; give their groups roles with lotabots roles bind ROLE --group GROUP")
		return nil
	}
	return c
}

// putSetting sets a setting; an empty value takes it away.
func putSetting(c *cobra.Command, api *client.Client, name, value string) error {
	path := "/admin/v1/settings/" + escapedPath(name)
	if value == "" {
		return api.Do(c.Context(), "DELETE", path, nil, nil)
	}
	return api.Do(c.Context(), "PUT", path, map[string]string{"value": value}, nil)
}

func ssoShowCommand(flags *client.Flags) *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show where users log in", Args: cobra.NoArgs}
	format := output(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		all, err := listWhere[struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		}](c, api, "/admin/v1/settings", nil)
		if err != nil {
			return err
		}
		found := map[string]string{}
		for _, s := range all {
			found[s.Name] = s.Value
		}
		shown := map[string]string{}
		for _, s := range ssoSettings {
			shown[s.flag] = found[s.setting]
		}
		return show(c, *format, shown, func(w io.Writer) {
			for _, s := range ssoSettings {
				row(w, s.flag, shown[s.flag])
			}
			if base, err := url.JoinPath(api.Endpoint(), "/auth/v1/oidc/callback"); err == nil {
				row(w, "callback", base)
			}
		})
	}
	return c
}
