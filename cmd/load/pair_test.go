package main

import (
	"path/filepath"
	"testing"
	"time"
)

// steady is a pair in which nobody notices anything.
func steady() pair {
	well := outcome{Accepted: 120_000, Rate: 2000, LagP50: 2 * time.Millisecond, LagP99: 10 * time.Millisecond, P99: 15 * time.Millisecond}
	for i := range 60 {
		use := memoryUse{At: time.Duration(i) * time.Second, RSS: 100 << 20, Live: 20 << 20}
		if i%3 == 0 {
			use.Live += 10 << 20 // garbage of the moment
		}
		well.Memory = append(well.Memory, use)
	}
	ill := well
	ill.Memory = nil
	for i, use := range well.Memory {
		use.Backlog, use.Live = int64(i)*2000, use.Live+min(int64(i), 20)<<21 // the window fills
		ill.Memory = append(ill.Memory, use)
	}
	ill.Others = []other{{Trouble: "error", Backlog: 120_000}}
	return pair{Check: "x", Rate: 2000, Sick: time.Minute, Base: well, Ill: ill}
}

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		spoil                   func(*pair)
		undisturbed, once, flat bool // what must hold
	}{
		"steady":              {spoil: func(*pair) {}, undisturbed: true, once: true, flat: true},
		"fewer events":        {spoil: func(p *pair) { p.Ill.Rate = 1700 }, once: true, flat: true},
		"later":               {spoil: func(p *pair) { p.Ill.LagP99 = 2 * time.Second }, once: true, flat: true},
		"later, unnoticed":    {spoil: func(p *pair) { p.Ill.LagP99 = 100 * time.Millisecond }, undisturbed: true, once: true, flat: true},
		"slower answers":      {spoil: func(p *pair) { p.Ill.P99 = 2 * time.Second }, once: true, flat: true},
		"a repeat":            {spoil: func(p *pair) { p.Ill.Repeats = 1 }, undisturbed: true, flat: true},
		"too short":           {spoil: func(p *pair) { p.Ill.Others[0].Backlog = 6000 }, undisturbed: true, once: true},
		"more memory":         {spoil: func(p *pair) { p.Ill.Memory[59].RSS += 64 << 20 }, undisturbed: true, once: true},
		"200 bytes an event":  {spoil: func(p *pair) { leak(p.Ill.Memory, 200) }, undisturbed: true, once: true},
		"100 bytes an event":  {spoil: func(p *pair) { leak(p.Ill.Memory, 100) }, undisturbed: true, once: true, flat: true},
		"less towards an end": {spoil: func(p *pair) { leak(p.Ill.Memory, -200) }, undisturbed: true, once: true, flat: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := steady()
			c.spoil(&p)
			l := pairList{p}
			for verdict, v := range map[string]struct {
				err  error
				good bool
			}{"undisturbed": {l.undisturbed(), c.undisturbed}, "once": {l.once(), c.once}, "flat": {l.flat(), c.flat}} {
				if (v.err == nil) != v.good {
					t.Errorf("%s: %v", verdict, v.err)
				}
			}
		})
	}
}

func leak(list []memoryUse, bytes int64) {
	for i := range list {
		list[i].Live += list[i].Backlog * bytes
	}
}

func TestPairsComeBackFromTheirFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pairs")
	p, other := steady(), steady()
	other.Check = "y"
	for _, p := range []pair{p, other, p} {
		if err := p.append(file); err != nil {
			t.Fatal(err)
		}
	}
	l, err := recorded(file, "x", options{rate: 2000, sick: time.Minute})
	if err != nil || len(l) != 2 || l[0].String() != p.String() || l.String() != (pairList{p, p}).String() {
		t.Errorf("%v, %v", l, err)
	}
}
