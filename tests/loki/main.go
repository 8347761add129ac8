// Command lokicheck judges a studio's log configuration with Loki's own code: Promtail's pipeline stages, LogQL's
// parser and engine, and the alert rules of Prometheus that Loki's ruler runs. Alloy's files are read by Alloy's parser.
//
//	lokicheck syntax FILE...     reads .alloy files and Loki rule files; says every error
//	lokicheck play < PLAY.json   sends log lines through a pipeline into the rules, one evaluation a minute
//	lokicheck follow FILE COUNT  prints the first COUNT lines of a file that is written and rotated meanwhile
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) > 1 && arguments[0] == "syntax":
		return check(arguments[1:])
	case len(arguments) == 3 && arguments[0] == "follow":
		count, err := strconv.Atoi(arguments[2])
		if err != nil {
			return fmt.Errorf("COUNT: %w", err)
		}
		return follow(arguments[1], count)
	case len(arguments) == 1 && arguments[0] == "play":
		var wanted Play
		decoder := json.NewDecoder(os.Stdin)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&wanted); err != nil {
			return fmt.Errorf("the play cannot be read: %w", err)
		}
		told, err := wanted.run()
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(told)
	}
	return errors.New("usage: lokicheck syntax FILE... | lokicheck play < PLAY.json | lokicheck follow FILE COUNT")
}

func check(paths []string) error {
	var found []error
	for _, path := range paths {
		var err error
		if strings.HasSuffix(path, ".alloy") {
			_, err = readAlloy(path)
		} else {
			_, err = readRules(path)
		}
		found = append(found, err)
	}
	return errors.Join(found...)
}
