package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// output adds -o and returns where its value will be.
func output(c *cobra.Command) *string {
	return c.Flags().StringP("output", "o", "table", "table or json")
}

// show prints v as JSON, or as the table that fill writes.
func show(c *cobra.Command, format string, v any, fill func(w io.Writer)) error {
	switch format {
	case "json":
		enc := json.NewEncoder(c.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "table":
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 2, 2, ' ', 0)
		fill(w)
		return w.Flush()
	}
	return fmt.Errorf("-o %s: want table or json", format)
}

func row(w io.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
	}
	fmt.Fprintln(w, strings.Join(text, "\t"))
}

// size prints bytes as people read them.
func size(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < 4 {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[prefix])
}
