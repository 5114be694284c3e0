package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// A usageError is a command line that cannot be carried out as it is written.
type usageError struct{ what, use, path string }

func (e *usageError) Error() string {
	return fmt.Sprintf("%s\n  usage: %s\n  what to do: see %s --help", e.what, e.use, e.path)
}

func misused(c *cobra.Command, what string) error {
	return &usageError{what: what, use: c.UseLine(), path: c.CommandPath()}
}

// explainUsage has c and all below it answer a wrong command line with what is
// wrong and how it is used.
func explainUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return misused(c, err.Error()) })
	if c.HasSubCommands() && !c.Runnable() {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		c.Args = knownCommand
	} else {
		c.Args = operands
	}
	for _, sub := range c.Commands() {
		explainUsage(sub)
	}
}

// knownCommand refuses what is no command of a group.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	what := fmt.Sprintf("there is no command %q", args[0])
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		what += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return &usageError{what: what, use: c.CommandPath() + " COMMAND", path: c.CommandPath()}
}

// operands holds the arguments against those that the command's use names, and
// wants the flags that it cannot do without.
func operands(c *cobra.Command, args []string) error {
	names := strings.Fields(c.Use)[1:]
	required := 0
	for required < len(names) && !strings.HasPrefix(names[required], "[") {
		required++
	}
	switch {
	case len(args) < required:
		return misused(c, strings.Join(names[len(args):required], " ")+" is missing")
	case len(args) > len(names):
		return misused(c, fmt.Sprintf("%q is one argument too many", args[len(names)]))
	}
	if err := c.ValidateRequiredFlags(); err != nil {
		return misused(c, err.Error())
	}
	return nil
}
