package main

import (
	"fmt"
	"os"

	"github.com/grafana/alloy/syntax/ast"
	"github.com/grafana/alloy/syntax/parser"
	"github.com/grafana/alloy/syntax/vm"
	"github.com/grafana/loki/v3/clients/pkg/logentry/stages"
	"github.com/prometheus/prometheus/model/relabel"
	"gopkg.in/yaml.v2"
)

// readAlloy reads a file with Alloy's parser and gives each loki.process block as a job, with the labels and the
// relabelling of the source that has its name. Alloy's stages are Promtail's, by the same names.
func readAlloy(path string) (map[string]Job, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(path, text)
	if err != nil {
		return nil, err
	}
	labels := map[string]map[string]string{}
	relabelling := map[string][]*relabel.Config{}
	jobs := map[string]Job{}
	for _, statement := range file.Body {
		block, ok := statement.(*ast.BlockStmt)
		if !ok {
			continue
		}
		switch block.GetBlockName() {
		case "local.file_match":
			var targets []map[string]string
			err = attribute(block.Body, "path_targets", &targets)
			if err == nil && len(targets) == 1 {
				labels[block.Label] = targets[0]
			}
		case "loki.source.journal":
			var own map[string]string
			err = attribute(block.Body, "labels", &own)
			labels[block.Label] = own
		case "loki.relabel":
			relabelling[block.Label], err = relabelOf(block.Body)
		case "loki.process":
			var found stages.PipelineStages
			found, err = stagesOf(block.Body)
			jobs[block.Label] = Job{Name: block.Label, Stages: found}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s %q: %w", path, block.GetBlockName(), block.Label, err)
		}
	}
	for name, job := range jobs {
		job.Labels, job.Relabel = labels[name], relabelling[name]
		if _, err := job.pipeline(); err != nil {
			return nil, fmt.Errorf("%s: loki.process %q: %w", path, name, err)
		}
		jobs[name] = job
	}
	return jobs, nil
}

func attribute(body ast.Body, name string, into any) error {
	for _, statement := range body {
		if found, ok := statement.(*ast.AttributeStmt); ok && found.Name.Name == name {
			return vm.New(found.Value).Evaluate(vm.NewScope(nil), into)
		}
	}
	return fmt.Errorf("%s is missing", name)
}

func attributes(body ast.Body) (map[any]any, error) {
	found := map[any]any{}
	for _, statement := range body {
		if given, ok := statement.(*ast.AttributeStmt); ok {
			var value any
			if err := vm.New(given.Value).Evaluate(vm.NewScope(nil), &value); err != nil {
				return nil, err
			}
			found[given.Name.Name] = value
		}
	}
	return found, nil
}

func relabelOf(body ast.Body) ([]*relabel.Config, error) {
	rules := []map[any]any{}
	for _, statement := range body {
		if block, ok := statement.(*ast.BlockStmt); ok {
			rule, err := attributes(block.Body)
			if err != nil {
				return nil, err
			}
			rules = append(rules, rule)
		}
	}
	text, err := yaml.Marshal(rules)
	if err != nil {
		return nil, err
	}
	var found []*relabel.Config
	return found, yaml.UnmarshalStrict(text, &found)
}

func stagesOf(body ast.Body) (stages.PipelineStages, error) {
	found := stages.PipelineStages{}
	for _, statement := range body {
		block, ok := statement.(*ast.BlockStmt)
		if !ok {
			continue
		}
		config, err := attributes(block.Body)
		if err != nil {
			return nil, err
		}
		nested, err := stagesOf(block.Body)
		if err != nil {
			return nil, err
		}
		if len(nested) > 0 {
			config["stages"] = nested
		}
		name := block.Name[len(block.Name)-1]
		if values, ok := config["values"]; ok {
			found = append(found, stages.PipelineStage{name: values})
		} else {
			found = append(found, stages.PipelineStage{name: config})
		}
	}
	return found, nil
}
