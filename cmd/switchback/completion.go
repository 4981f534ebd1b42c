package main

import (
	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"
)

// A completionCommand prints what makes a shell complete the command's words: the shell
// then asks the command itself, by COMP_LINE in the environment, which complete answers.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is the end of completion --help.
func (*completionCommand) Help() string {
	return `For now, or in the file that the shell reads when it starts:

    source <(switchback completion bash)    # ~/.bashrc
    source <(switchback completion zsh)     # ~/.zshrc, after compinit
    switchback completion fish | source     # ~/.config/fish/config.fish`
}

// Run prints it, and ends the process.
func (c *completionCommand) Run(context *kong.Context) error {
	return (&kongcompletion.Completion{Shell: c.Shell, Code: true}).Run(context)
}

// completeWords ends the process with what a shell may complete, if that is what asks.
func completeWords(app *kong.Kong) {
	kongcompletion.Register(app, kongcompletion.WithPredictors(map[string]complete.Predictor{
		"file":       complete.PredictFiles("*"),
		"log-level":  complete.PredictSet("debug", "info", "warn", "error"),
		"log-format": complete.PredictSet("text", "json"),
	}))
}
