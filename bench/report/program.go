package report

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Main runs the benchmark as the program's command line says, and gives the
// status to exit with: 0 also when a goal is missed, which the table tells.
func Main(b Bench) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := program(ctx, &b, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 2
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func program(ctx context.Context, b *Bench, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet(b.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", b.Rounds, "how often each variant is run")
	write := flags.String("write", "", "Markdown `file` whose section of this benchmark is replaced")
	only := flags.String("only", "", "comma-separated `variants` to run, for a look at one; nothing is written then")
	if b.Flags != nil {
		b.Flags(flags)
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	b.Rounds = *rounds
	if *only != "" {
		*write = ""
		if err := b.keep(strings.Split(*only, ",")); err != nil {
			return err
		}
	}
	if err := b.check(); err != nil {
		return err
	}
	on := machine()
	start := time.Now()
	section := func(got results) (table, under string) {
		// As many rounds as there are, should it end early.
		return got.table(), fmt.Sprintf("Median and spread (least .. most) of %d rounds on %s: %s.\n", got.rounds, start.Format(time.DateOnly), on)
	}
	keep := func(got results) error {
		if *write == "" {
			return nil
		}
		table, under := section(got)
		return writeSection(*write, b.Name, fmt.Sprintf("## %s: %s\n\n%s\n\n%s\n%s", b.Name, b.Title, strings.TrimSpace(b.About), table, under))
	}
	got, err := b.run(ctx, func(format string, args ...any) {
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", b.Name, fmt.Sprintf(format, args...))
	}, keep)
	if err != nil {
		return err
	}
	table, under := section(got)
	_, _ = fmt.Fprintf(stdout, "%s: %s\n\n%s\n%s", b.Name, b.Title, table, under)
	return nil
}

// keep drops all other variants, and the baseline if it is one of them.
func (b *Bench) keep(names []string) error {
	var kept []Variant
	for _, name := range names {
		i := slices.IndexFunc(b.Variants, func(v Variant) bool { return v.Name == strings.TrimSpace(name) })
		if i < 0 {
			return fmt.Errorf("benchmark %s has no variant %q", b.Name, name)
		}
		kept = append(kept, b.Variants[i])
	}
	b.Variants = kept
	if !slices.ContainsFunc(kept, func(v Variant) bool { return v.Name == b.Baseline }) {
		b.Baseline = ""
	}
	return nil
}
