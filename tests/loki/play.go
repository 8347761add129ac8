package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Play is what to do: which pipeline, which rules, and the cases.
type Play struct {
	Pipelines []string `json:"pipelines"` // Promtail's files, or one of Alloy's
	Rules     []string `json:"rules"`
	Cases     []Case   `json:"cases"`
}

// Case is the log of one situation; its rules are evaluated each minute from From on, `for` and all.
type Case struct {
	Name    string    `json:"name"`
	From    time.Time `json:"from"`
	Minutes int       `json:"minutes"`
	Logs    []Log     `json:"logs"`
}

// Log is what one job reads: its lines, and the labels that its source would have put on them.
type Log struct {
	Job    string            `json:"job"`
	Labels map[string]string `json:"labels"`
	Lines  []string          `json:"lines"`
}

// Told is what became of a case.
type Told struct {
	Name    string   `json:"name"`
	Entries []Entry  `json:"entries"`
	Alerts  []Firing `json:"alerts"`
}

// Entry is a line as it would reach Loki.
type Entry struct {
	Labels   map[string]string `json:"labels"`
	Time     time.Time         `json:"time"`
	Line     string            `json:"line"`
	Metadata map[string]string `json:"metadata"`
}

func (p Play) run() ([]Told, error) {
	jobs, err := readJobs(p.Pipelines)
	if err != nil {
		return nil, err
	}
	told := make([]Told, 0, len(p.Cases))
	for _, one := range p.Cases {
		var entries []Entry
		for _, log := range one.Logs {
			job, known := jobs[log.Job]
			if !known {
				return nil, fmt.Errorf("%s: no pipeline has the job %q", one.Name, log.Job)
			}
			passed, err := job.pass(log)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", one.Name, err)
			}
			entries = append(entries, passed...)
		}
		alerts, err := evaluate(context.Background(), p.Rules, entries, one.From, one.Minutes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		told = append(told, Told{one.Name, entries, alerts})
	}
	return told, nil
}

func readJobs(paths []string) (map[string]Job, error) {
	jobs := map[string]Job{}
	for _, path := range paths {
		read := readPromtail
		if strings.HasSuffix(path, ".alloy") {
			read = readAlloy
		}
		found, err := read(path)
		if err != nil {
			return nil, err
		}
		for name, job := range found {
			jobs[name] = job
		}
	}
	return jobs, nil
}
