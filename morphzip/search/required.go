package search

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// Bounds of what is worked out of an expression.
const (
	maxStrings = 64 // of a set
	maxString  = 64 // bytes of a string
	maxSets    = 8
)

// requiredBy gives sets of strings, one string of each of which every text that
// the expression matches contains. It is the reasoning of Cox's code search, with
// strings in place of trigrams.
func requiredBy(e *syntax.Regexp) []set {
	f := examine(e)
	f.flush()
	slices.SortStableFunc(f.sets, func(a, b set) int { return worth(b) - worth(a) })
	return f.sets[:min(len(f.sets), maxSets)]
}

// worth is the length of a set's shortest string, less for more strings.
func worth(s set) int {
	shortest := maxString
	for _, r := range s {
		shortest = min(shortest, len(r.text))
	}
	return shortest*16 - len(s)
}

// fact is what is known of the texts that an expression matches: each contains
// a string of every set and, where ends is not nil, ends with one of these, or,
// where whole is set, is one of these.
type fact struct {
	ends  []piece
	whole bool
	sets  []set
}

// piece is a string whose ASCII letters are of any case where fold is set.
type piece struct {
	text string
	fold bool
}

var (
	anything = fact{}
	empty    = fact{ends: []piece{{}}, whole: true}
)

// flush makes a set of what the texts end with.
func (f *fact) flush() {
	if s := setOf(f.ends); s != nil {
		f.sets = append(f.sets, s)
	}
	f.ends, f.whole = nil, false
}

func setOf(pieces []piece) set {
	fold := slices.ContainsFunc(pieces, func(p piece) bool { return p.fold })
	var s set
	for _, p := range pieces {
		if p.text == "" {
			return nil // contained in anything
		}
		text := []byte(p.text)
		if fold {
			text = lower(nil, text)
		}
		s = append(s, newRequired(text, fold))
	}
	return s
}

// examine works out an expression that is simplified.
func examine(e *syntax.Regexp) fact {
	switch e.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return empty
	case syntax.OpLiteral:
		return literal(e)
	case syntax.OpCharClass:
		return class(e)
	case syntax.OpCapture:
		return examine(e.Sub[0])
	case syntax.OpPlus:
		f := examine(e.Sub[0])
		f.flush()
		return f
	case syntax.OpQuest:
		return either([]fact{examine(e.Sub[0]), empty})
	case syntax.OpConcat:
		return concatenate(e.Sub)
	case syntax.OpAlternate:
		facts := make([]fact, len(e.Sub))
		for i, sub := range e.Sub {
			facts[i] = examine(sub)
		}
		return either(facts)
	}
	return anything // any character, any number of times, nothing at all
}

// literal is a string. Where its case makes no difference only runes are part of
// it that have no cases beyond ASCII.
func literal(e *syntax.Regexp) fact {
	fold := e.Flags&syntax.FoldCase != 0
	all := empty
	for _, r := range e.Rune {
		f := anything
		switch {
		case r == utf8.RuneError: // what is no UTF-8 is that too
		case !fold:
			f = fact{ends: []piece{{string(r), false}}, whole: true}
		case r < utf8.RuneSelf && r != 'k' && r != 'K' && r != 's' && r != 'S':
			f = fact{ends: []piece{{string(lower(nil, []byte{byte(r)})), true}}, whole: true}
		}
		all = all.then(f)
	}
	return all
}

// class is one rune of a few.
func class(e *syntax.Regexp) fact {
	f := fact{whole: true}
	for i := 0; i < len(e.Rune); i += 2 {
		if int(e.Rune[i+1]-e.Rune[i])+len(f.ends) >= maxStrings/4 {
			return anything
		}
		for r := e.Rune[i]; r <= e.Rune[i+1]; r++ {
			if r == utf8.RuneError {
				return anything
			}
			f.ends = append(f.ends, piece{string(r), false})
		}
	}
	return f
}

func concatenate(subs []*syntax.Regexp) fact {
	all := empty
	for _, sub := range subs {
		all = all.then(examine(sub))
	}
	return all
}

// then is what is known of the texts of f with those of g behind them.
func (f fact) then(g fact) fact {
	f.sets = append(slices.Clone(f.sets), g.sets...)
	if joined := join(f.ends, g.ends); joined != nil && g.whole {
		f.ends = joined
		return f
	}
	f.flush()
	f.ends = g.ends
	return f
}

// join gives each text of a with each of b behind it; nil where one is not known
// or these are too many.
func join(a, b []piece) []piece {
	if len(a)*len(b) > maxStrings {
		return nil
	}
	var joined []piece
	for _, x := range a {
		for _, y := range b {
			if len(x.text)+len(y.text) > maxString {
				return nil
			}
			p := piece{x.text + y.text, x.fold || y.fold}
			if p.fold {
				p.text = string(lower(nil, []byte(p.text)))
			}
			joined = append(joined, p)
		}
	}
	return joined
}

// either is what is known of the texts of any of these.
func either(facts []fact) fact {
	all := fact{whole: true}
	for _, f := range facts {
		all.whole = all.whole && f.whole && len(all.ends)+len(f.ends) <= maxStrings
		if all.whole {
			all.ends = append(all.ends, f.ends...)
		}
	}
	if all.whole {
		return all
	}
	var one set
	for _, f := range facts {
		f.flush()
		if len(f.sets) == 0 {
			return anything
		}
		best := slices.MaxFunc(f.sets, func(a, b set) int { return worth(a) - worth(b) })
		if one = append(one, best...); len(one) > maxStrings {
			return anything
		}
	}
	return fact{sets: []set{one.alike()}}
}

// alike gives the set with the case of all strings taken alike, as searches do:
// if that of one makes no difference, that of none does.
func (s set) alike() set {
	folds := func(r required) bool { return r.fold }
	if !slices.ContainsFunc(s, folds) {
		return s
	}
	all := make(set, len(s))
	for i, r := range s {
		all[i] = newRequired(lower(nil, r.text), true)
	}
	return all
}
