package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	kitlog "github.com/go-kit/log"
	"github.com/grafana/dskit/user"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"
)

// Firing is an alert in the minutes (counted from the case's start) in which it fired.
type Firing struct {
	Alert       string            `json:"alert"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Minutes     []int             `json:"minutes"`
}

// logQL is an expression that Prometheus' rules take without looking into it, as in Loki's ruler.
type logQL struct{ syntax.Expr }

func (logQL) PositionRange() posrange.PositionRange { return posrange.PositionRange{} }
func (logQL) PromQLExpr()                           {}
func (logQL) Type() parser.ValueType                { return parser.ValueTypeVector }
func (logQL) Pretty(int) string                     { return "" }

func readRules(path string) ([]*rules.AlertingRule, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var groups rulefmt.RuleGroups
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&groups); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var found []*rules.AlertingRule
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			expr, err := syntax.ParseExpr(rule.Expr)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, rule.Alert, err)
			}
			if rule.Alert == "" {
				return nil, fmt.Errorf("%s: a rule without an alert", path)
			}
			found = append(found, rules.NewAlertingRule(
				rule.Alert, logQL{expr}, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
				labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "",
				true, slog.New(slog.DiscardHandler),
			))
		}
	}
	return found, nil
}

// evaluate runs the rules over the entries once a minute, the way Loki's ruler does.
func evaluate(ctx context.Context, paths []string, entries []Entry, from time.Time, minutes int) ([]Firing, error) {
	var found []*rules.AlertingRule
	for _, path := range paths {
		more, err := readRules(path)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	engine := logql.NewEngine(logql.EngineOpts{}, querier(entries), logql.NoLimits, kitlog.NewNopLogger())
	ctx = user.InjectOrgID(ctx, "studio")
	last := from.Add(time.Duration(minutes) * time.Minute)
	firing := []Firing{}
	for _, rule := range found {
		results, err := everyMinute(ctx, engine, rule.Query().String(), from, last)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rule.Name(), err)
		}
		seen := map[uint64]int{}
		for minute := range minutes + 1 {
			at := from.Add(time.Duration(minute) * time.Minute)
			if _, err := rule.Eval(ctx, 0, at, results, &url.URL{}, 0); err != nil {
				return nil, fmt.Errorf("%s: %w", rule.Name(), err)
			}
			for _, alert := range rule.ActiveAlerts() {
				if alert.State != rules.StateFiring {
					continue
				}
				index, known := seen[alert.Labels.Hash()]
				if !known {
					index = len(firing)
					seen[alert.Labels.Hash()] = index
					firing = append(firing, Firing{Alert: rule.Name(), Labels: alert.Labels.Map()})
				}
				firing[index].Minutes = append(firing[index].Minutes, minute)
				firing[index].Annotations = alert.Annotations.Map()
			}
		}
	}
	return firing, nil
}

// everyMinute evaluates an expression from the first to the last moment in one go, and answers for each of them.
func everyMinute(
	ctx context.Context, engine *logql.QueryEngine, expr string, first, last time.Time,
) (rules.QueryFunc, error) {
	params, err := logql.NewLiteralParams(expr, first, last, time.Minute, 0, logproto.FORWARD, 0, nil, nil)
	if err != nil {
		return nil, err
	}
	result, err := engine.Query(params).Exec(ctx)
	if err != nil {
		return nil, err
	}
	matrix, ok := result.Data.(promql.Matrix)
	if !ok {
		return nil, errors.New("the expression gives no vector")
	}
	at := map[int64]promql.Vector{}
	for _, series := range matrix {
		for _, point := range series.Floats {
			at[point.T] = append(at[point.T], promql.Sample{Metric: series.Metric, T: point.T, F: point.F})
		}
	}
	return func(_ context.Context, asked string, moment time.Time) (promql.Vector, error) {
		if asked != expr {
			return nil, fmt.Errorf("%q is not the rule's expression", asked)
		}
		return at[moment.UnixMilli()], nil
	}, nil
}
