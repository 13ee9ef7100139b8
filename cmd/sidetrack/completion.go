package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: ${enum}."`
}

// Help is the longer text of --help.
func (completionCommand) Help() string {
	return `Prints a script that makes the shell complete commands, flags, their values, files, the names of components and of the
sinks in a configuration.

  source <(sidetrack completion bash)                                      # in ~/.bashrc
  source <(sidetrack completion zsh)                                       # in ~/.zshrc, after compinit
  sidetrack completion fish > ~/.config/fish/completions/sidetrack.fish`
}

// Run implements the command.
func (c *completionCommand) Run(a *app) error {
	_, err := io.WriteString(a.out, map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell])
	return err
}

// completeWord is the hidden first argument by which the scripts ask for what may come.
const completeWord = "__complete"

// filesFollow is the line that stands for the names of files.
const filesFollow = ":files"

const bashCompletion = `_sidetrack() {
	local cur="${COMP_WORDS[COMP_CWORD]}" line
	COMPREPLY=()
	[ "$cur" = "=" ] && cur=""
	while IFS= read -r line; do
		if [ "$line" = ":files" ]; then
			compopt -o filenames 2>/dev/null
			while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
		else
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _sidetrack sidetrack
`

const zshCompletion = `#compdef sidetrack
_sidetrack() {
	local line
	local -a candidates
	for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		case "$line" in
		:files) _files ;;
		"") ;;
		*$'\t'*) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		*) candidates+=("${line//:/\\:}") ;;
		esac
	done
	if (( ${#candidates} )); then _describe sidetrack candidates; fi
}
compdef _sidetrack sidetrack
`

const fishCompletion = `function __sidetrack_complete
	set -l words (commandline -opc) (commandline -ct)
	for line in (sidetrack __complete $words[2..-1] 2>/dev/null)
		if test "$line" = ":files"
			__fish_complete_path (commandline -ct)
		else
			echo $line
		end
	end
end
complete -c sidetrack -f -a '(__sidetrack_complete)'
`

// complete prints what may stand for the last of words, one a line with what it means after a tab.
func complete(model *kong.Application, words []string, w io.Writer) {
	words = slices.DeleteFunc(slices.Clone(words), func(s string) bool { return s == "=" }) // bash parts words at it
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	c := completer{node: model.Node, flags: slices.Clone(model.Flags), config: "sidetrack.yaml"}
	for _, word := range words[:len(words)-1] {
		c.pass(word)
	}
	for _, candidate := range c.candidates(last) {
		word, _, _ := strings.Cut(candidate, "\t")
		if candidate == filesFollow || strings.HasPrefix(word, last) {
			fmt.Fprintln(w, candidate)
		}
	}
}

type completer struct {
	node       *kong.Node
	flags      []*kong.Flag
	positional int        // how many were given
	waiting    *kong.Flag // the flag whose value is next
	config     string
}

// pass takes a word that is complete.
func (c *completer) pass(word string) {
	switch {
	case c.waiting != nil:
		c.value(c.waiting, word)
		c.waiting = nil
	case strings.HasPrefix(word, "-"):
		name, value, given := strings.Cut(word, "=")
		i := slices.IndexFunc(c.flags, func(f *kong.Flag) bool { return name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) })
		if i < 0 || c.flags[i].IsBool() {
			return
		}
		if given {
			c.value(c.flags[i], value)
		} else {
			c.waiting = c.flags[i]
		}
	default:
		for _, child := range c.node.Children {
			if child.Name == word {
				c.node = child
				c.flags = append(c.flags, child.Flags...)
				return
			}
		}
		c.positional++
	}
}

func (c *completer) value(f *kong.Flag, value string) {
	if f.Name == "config" {
		c.config = value
	}
}

// candidates are words that may come, not yet chosen by what was typed of one.
func (c *completer) candidates(last string) []string {
	if c.waiting != nil {
		return c.values(c.waiting.Value)
	}
	if name, _, ok := strings.Cut(last, "="); ok && strings.HasPrefix(name, "--") {
		for _, f := range c.flags {
			if "--"+f.Name == name {
				var out []string
				for _, v := range c.values(f.Value) {
					out = append(out, name+"="+v)
				}
				return out
			}
		}
		return nil
	}
	var out []string
	if strings.HasPrefix(last, "-") {
		for _, f := range c.flags {
			if !f.Hidden {
				out = append(out, "--"+f.Name+"\t"+f.Help)
			}
		}
		return out
	}
	for _, child := range c.node.Children {
		if !child.Hidden {
			out = append(out, child.Name+"\t"+child.Help)
		}
	}
	if n := len(c.node.Positional); n > 0 {
		out = append(out, c.values(c.node.Positional[min(c.positional, n-1)])...)
	}
	return out
}

// values are what a flag or an argument may be.
func (c *completer) values(v *kong.Value) []string {
	if v.Enum != "" {
		return v.EnumSlice()
	}
	switch v.Tag.Get("completion") {
	case "files":
		return []string{filesFollow}
	case "components":
		var out []string
		for _, x := range config.Components(full.Registry(), config.BuiltinComments()) {
			out = append(out, x.Name+"\t"+x.Kind+": "+x.Summary)
		}
		return out
	case "sinks":
		cfg, err := config.Load(c.config, full.Registry(), config.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			return nil
		}
		defer func() { _ = cfg.Close() }()
		var out []string
		for _, s := range cfg.Pipeline.Sinks {
			out = append(out, s.Name)
		}
		return out
	}
	return nil
}
