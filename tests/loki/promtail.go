package main

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/grafana/loki/v3/clients/pkg/logentry/stages"
	"github.com/grafana/loki/v3/clients/pkg/promtail/api"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"gopkg.in/yaml.v2"
)

// Job is a log with the labels that each of its lines gets, and its stages.
type Job struct {
	Name    string
	Labels  map[string]string
	Relabel []*relabel.Config
	Stages  stages.PipelineStages
}

// scrapeConfigs has those keys of Promtail's file that a studio's has; any other is refused.
type scrapeConfigs struct {
	ScrapeConfigs []struct {
		JobName       string `yaml:"job_name"`
		StaticConfigs []struct {
			Targets []string          `yaml:"targets"`
			Labels  map[string]string `yaml:"labels"`
		} `yaml:"static_configs"`
		Journal struct {
			MaxAge string            `yaml:"max_age"`
			Labels map[string]string `yaml:"labels"`
		} `yaml:"journal"`
		RelabelConfigs []*relabel.Config     `yaml:"relabel_configs"`
		PipelineStages stages.PipelineStages `yaml:"pipeline_stages"`
	} `yaml:"scrape_configs"`
}

func readPromtail(path string) (map[string]Job, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file scrapeConfigs
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	jobs := map[string]Job{}
	for _, config := range file.ScrapeConfigs {
		given := config.Journal.Labels
		if len(config.StaticConfigs) > 0 {
			given = config.StaticConfigs[0].Labels
		}
		job := Job{config.JobName, given, config.RelabelConfigs, config.PipelineStages}
		if _, err := job.pipeline(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, job.Name, err)
		}
		jobs[job.Name] = job
	}
	return jobs, nil
}

// stream gives the labels that a line has before the first stage: those of the job and of what its source found out,
// relabelled. Names that begin with two underscores are for discovery alone.
func (j Job) stream(found map[string]string) model.LabelSet {
	all := maps.Clone(found)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, j.Labels)
	builder := labels.NewBuilder(labels.FromMap(all))
	for _, rule := range j.Relabel {
		rule.NameValidationScheme = model.LegacyValidation
	}
	relabel.ProcessBuilder(builder, j.Relabel...)
	stream := model.LabelSet{}
	builder.Range(func(one labels.Label) {
		if !strings.HasPrefix(one.Name, "__") {
			stream[model.LabelName(one.Name)] = model.LabelValue(one.Value)
		}
	})
	return stream
}

func (j Job) pipeline() (*stages.Pipeline, error) {
	return stages.NewPipeline(log.NewNopLogger(), j.Stages, &j.Name, prometheus.NewRegistry())
}

// pass sends a log's lines through the stages. A line is read in 1970, so that a time of its own shows.
func (j Job) pass(given Log) ([]Entry, error) {
	pipeline, err := j.pipeline()
	if err != nil {
		return nil, err
	}
	in := make(chan stages.Entry)
	go func() {
		defer close(in)
		for _, line := range given.Lines {
			entry := api.Entry{
				Labels: j.stream(given.Labels), Entry: logproto.Entry{Timestamp: time.Unix(0, 0), Line: line},
			}
			in <- stages.Entry{Extracted: map[string]any{}, Entry: entry}
		}
	}()
	entries := []Entry{}
	for out := range pipeline.Run(in) {
		own, metadata := map[string]string{}, map[string]string{}
		for name, value := range out.Labels {
			own[string(name)] = string(value)
		}
		for _, pair := range out.StructuredMetadata {
			metadata[pair.Name] = pair.Value
		}
		entries = append(entries, Entry{own, out.Timestamp.UTC(), out.Line, metadata})
	}
	return entries, nil
}
