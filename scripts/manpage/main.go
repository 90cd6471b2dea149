// Manpage writes the manual page authsvc(1) from what the program says of itself: its help, the
// help of each command, and the reference of its settings.
//
//	go run ./scripts/manpage PROGRAM VERSION DATE
//
// It runs PROGRAM, and writes the page to standard output. The page names VERSION and DATE.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: manpage PROGRAM VERSION DATE")
		os.Exit(2)
	}
	said := func(args ...string) (string, error) {
		out, err := exec.CommandContext(context.Background(), os.Args[1], args...).Output() //nolint:gosec // whoever runs it names the program
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", os.Args[1], strings.Join(args, " "), err)
		}
		return string(out), nil
	}
	if err := write(os.Stdout, said, os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "manpage:", err)
		os.Exit(1)
	}
}

// command is one command as the program's help describes it.
type command struct {
	name, summary string
	about         string // paragraphs
	options       []option
}

// option is an option of a command. Its argument is empty if it takes none.
type option struct{ name, argument, meaning string }

// write writes the page. said runs the program with arguments and returns its standard output.
func write(w io.Writer, said func(args ...string) (string, error), version, date string) error {
	usage, err := said("help")
	if err != nil {
		return err
	}
	about, commands, err := parseUsage(usage)
	if err != nil {
		return err
	}
	for i := range commands {
		help, err := said(commands[i].name, "-h")
		if err != nil {
			return err
		}
		if err := commands[i].parseHelp(help); err != nil {
			return err
		}
	}
	reference, err := said("config", "-reference")
	if err != nil {
		return err
	}
	p := &page{}
	p.line(".TH AUTHSVC 1 %s %s \"User Commands\"", date, quote("authsvc "+version))
	p.line(".ad l") // long names cannot be adjusted
	p.line(".SH NAME")
	p.line(`authsvc \- %s`, escape(strings.TrimSuffix(strings.TrimPrefix(about, "authsvc "), ".")))
	p.synopsis(commands)
	p.line(".SH COMMANDS")
	for _, c := range commands {
		p.command(c)
	}
	p.line(".SH ENVIRONMENT")
	if err := p.reference(reference); err != nil {
		return err
	}
	p.line("%s", files)
	_, err = io.WriteString(w, p.b.String())
	return err
}

// files are the sections that the program does not know: they describe the packages.
const files = `.SH FILES
.TP
.I /etc/authsvc/authsvc.env
The settings, one NAME=value a line, as
.B authsvc.service
reads them.
.TP
.I /etc/authsvc
The place for passwords, keys and certificates. The group
.B authsvc
must be able to read them.
.SH SEE ALSO
.BR systemctl (1),
.BR systemd.exec (5),
.BR ldapsearch (1)
.PP
The pages that are named here, such as docs/forward\-auth.md and presets,
are in the folder docs of the source.`

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}(.+)$`)
	optionLine  = regexp.MustCompile(`^  -([a-z0-9-]+)(?: (\S+))?(?:\t(.*))?$`)
)

// parseUsage reads the help of the program.
func parseUsage(usage string) (about string, commands []command, err error) {
	about, _, _ = strings.Cut(usage, "\n")
	for _, m := range commandLine.FindAllStringSubmatch(usage, -1) {
		commands = append(commands, command{name: m[1], summary: m[2]})
	}
	if !strings.HasPrefix(about, "authsvc ") || len(commands) == 0 {
		return "", nil, fmt.Errorf("the help does not begin with a sentence about authsvc, or names no command:\n%s", usage)
	}
	return about, commands, nil
}

// parseHelp reads the help of the command, as package flag prints it.
func (c *command) parseHelp(help string) error {
	first, rest, _ := strings.Cut(help, "\n")
	if first != "usage: authsvc "+c.name {
		return fmt.Errorf("the help of %s begins with %q", c.name, first)
	}
	var about []string
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		m := optionLine.FindStringSubmatch(line)
		last := len(c.options) - 1
		switch {
		case m != nil:
			c.options = append(c.options, option{m[1], m[2], m[3]})
		case last < 0:
			about = append(about, line)
		case strings.HasPrefix(line, "    \t"):
			c.options[last].meaning = strings.TrimSpace(c.options[last].meaning + " " + strings.TrimSpace(line))
		default:
			return fmt.Errorf("the help of %s has a line among its options that describes none: %q", c.name, line)
		}
	}
	c.about = strings.TrimSpace(strings.Join(about, "\n"))
	return nil
}

// page is the text in roff.
type page struct{ b strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// text writes text, which is in roff already, in lines of at most 80 bytes.
func (p *page) text(text string) {
	width := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case width+1+len(word) > 80:
			p.b.WriteByte('\n')
			width = 0
		default:
			p.b.WriteByte(' ')
			width++
		}
		if width == 0 && strings.HasPrefix(word, ".") { // which would be a request
			word = `\&` + word
		}
		p.b.WriteString(word)
		width += len(word)
	}
	p.b.WriteByte('\n')
}

// paragraphs writes text, whose paragraphs are separated by empty lines.
func (p *page) paragraphs(text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		p.text(escape(paragraph))
	}
}

// synopsis writes a line for each command.
func (p *page) synopsis(commands []command) {
	p.line(".SH SYNOPSIS\n.nf")
	for _, c := range commands {
		options := ""
		if len(c.options) > 0 {
			options = ` [\fIoptions\fR]`
		}
		p.line(`\fBauthsvc %s\fR%s`, escape(c.name), options)
	}
	p.line(".fi")
}

// command writes the section of a command.
func (p *page) command(c command) {
	p.line(".SS %s", quote(c.name+": "+c.summary))
	p.paragraphs(c.about)
	for _, o := range c.options {
		argument := ""
		if o.argument != "" {
			argument = ` \fI` + escape(o.argument) + `\fR`
		}
		p.line(".TP\n"+`\fB\-%s\fR%s`, escape(o.name), argument)
		p.text(escape(o.meaning))
	}
}

// escape makes text mean itself in roff.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
}

// quote makes text one argument of a macro.
func quote(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }
