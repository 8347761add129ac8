package main

import (
	"context"
	"errors"
	"sort"

	"github.com/cespare/xxhash/v2"
	"github.com/grafana/loki/v3/pkg/iter"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/prometheus/prometheus/model/labels"
)

// querier gives Loki's engine the entries of a case, structured metadata and all.
type querier []Entry

func (querier) SelectLogs(context.Context, logql.SelectLogParams) (iter.EntryIterator, error) {
	return nil, errors.New("an alert rule counts lines, it does not read them")
}

func (q querier) SelectSamples(_ context.Context, wanted logql.SelectSampleParams) (iter.SampleIterator, error) {
	selector, err := wanted.LogSelector()
	if err != nil {
		return nil, err
	}
	expr, err := wanted.Expr()
	if err != nil {
		return nil, err
	}
	extractors, err := expr.Extractors()
	if err != nil {
		return nil, err
	}
	found := map[string]*logproto.Series{}
	for _, extractor := range extractors {
		q.extract(extractor, selector.Matchers(), found)
	}
	series := make([]logproto.Series, 0, len(found))
	for _, one := range found {
		sort.Stable(one)
		series = append(series, *one)
	}
	return iter.NewTimeRangedSampleIterator(
		iter.NewMultiSeriesIterator(series), wanted.Start.UnixNano(), wanted.End.UnixNano()+1,
	), nil
}

func (q querier) extract(extractor log.SampleExtractor, matchers []*labels.Matcher, into map[string]*logproto.Series) {
	for _, entry := range q {
		if !matches(matchers, entry.Labels) {
			continue
		}
		stream := extractor.ForStream(labels.FromMap(entry.Labels))
		at := entry.Time.UnixNano()
		samples, _ := stream.Process(at, []byte(entry.Line), labels.FromMap(entry.Metadata))
		for _, sample := range samples {
			name := sample.Labels.String()
			if into[name] == nil {
				into[name] = &logproto.Series{Labels: name, StreamHash: stream.BaseLabels().Hash()}
			}
			into[name].Samples = append(into[name].Samples, logproto.Sample{
				Timestamp: at, Value: sample.Value, Hash: xxhash.Sum64String(entry.Line),
			})
		}
	}
}

func matches(matchers []*labels.Matcher, of map[string]string) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(of[matcher.Name]) {
			return false
		}
	}
	return true
}
