package mdns

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Bits of a class in mDNS: of a question, that a unicast answer is welcome; of
// a record, that it replaces what was known.
const (
	unicastBit = dnsmessage.Class(1 << 15)
	flushBit   = dnsmessage.Class(1 << 15)
	classIN    = dnsmessage.ClassINET
)

// What is asked of a name.
type question uint8

const (
	askedA question = 1 << iota
	askedAAAA
)

const typeNSEC = dnsmessage.Type(47)

// message is what a DNS message says about one name.
type message struct {
	id       uint16
	response bool
	asked    question
	// exact is the first question as it came, for legacy answers.
	exact     dnsmessage.Question
	unicast   bool // a unicast answer is welcome
	probe     bool // the asker wants the name
	answers   []netip.Addr
	goodbye   bool // an answer is a goodbye
	authority []netip.Addr
	known     []netip.Addr // answers that the asker has, and keeps a while
}

// parse reads a message and keeps what is about name; false for what is no DNS
// message.
func parse(data []byte, name string) (*message, bool) {
	var p dnsmessage.Parser
	header, err := p.Start(data)
	if err != nil || header.OpCode != 0 || header.RCode != 0 {
		return nil, false
	}
	m := &message{id: header.ID, response: header.Response}
	questions, err := p.AllQuestions()
	if err != nil {
		return nil, false
	}
	for _, q := range questions {
		if !strings.EqualFold(q.Name.String(), name) || q.Class&^unicastBit != classIN && q.Class&^unicastBit != dnsmessage.ClassANY {
			continue
		}
		var asked question
		switch q.Type {
		case dnsmessage.TypeA:
			asked = askedA
		case dnsmessage.TypeAAAA:
			asked = askedAAAA
		case dnsmessage.TypeALL:
			asked = askedA | askedAAAA
		default:
			continue
		}
		if m.asked == 0 {
			m.exact = q
		}
		m.asked |= asked
		m.unicast = m.unicast || q.Class&unicastBit != 0
	}
	answers, err := p.AllAnswers()
	if err != nil {
		return m, m.asked != 0 // a truncated list of what is known
	}
	for _, a := range answers {
		address, ok := addressOf(a, name)
		switch {
		case !ok:
		case m.response && a.Header.TTL == 0:
			m.goodbye = true
		case m.response:
			m.answers = append(m.answers, address)
		case a.Header.TTL >= recordTTL/2:
			m.known = append(m.known, address)
		}
	}
	if m.response {
		return m, true
	}
	authority, err := p.AllAuthorities()
	if err != nil {
		return m, m.asked != 0
	}
	for _, a := range authority {
		if address, ok := addressOf(a, name); ok {
			m.authority = append(m.authority, address)
		}
	}
	m.probe = len(m.authority) > 0
	return m, true
}

// addressOf is the address in a record of the name.
func addressOf(r dnsmessage.Resource, name string) (netip.Addr, bool) {
	if !strings.EqualFold(r.Header.Name.String(), name) || r.Header.Class&^flushBit != classIN {
		return netip.Addr{}, false
	}
	switch body := r.Body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(body.A), true
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(body.AAAA), true
	}
	return netip.Addr{}, false
}

// differ says that the name is given an address that is not among ours: another
// has it, or wants it.
func differ(theirs, ours []netip.Addr) bool {
	return slices.ContainsFunc(theirs, func(a netip.Addr) bool { return !slices.Contains(ours, a) })
}

// knows says that the asker has all that there is to answer.
func (m *message) knows(ours []netip.Addr) bool {
	return !slices.ContainsFunc(ours, func(a netip.Addr) bool { return m.wants(a) && !slices.Contains(m.known, a) })
}

func (m *message) wants(a netip.Addr) bool {
	if a.Is4() {
		return m.asked&askedA != 0
	}
	return m.asked&askedAAAA != 0
}

// compareRecords compares two sets of addresses as RFC 6762, 8.2.1 compares
// records: sorted by type and data, the first difference decides, and a longer
// set is greater.
func compareRecords(a, b []netip.Addr) int {
	order := func(x, y netip.Addr) int {
		if x.Is4() != y.Is4() { // A is type 1, AAAA 28
			if x.Is4() {
				return -1
			}
			return 1
		}
		return bytes.Compare(x.AsSlice(), y.AsSlice())
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, order)
	slices.SortFunc(b, order)
	return slices.CompareFunc(a, b, order)
}

// builder puts a message together. Names here always fit: their label was cut
// to 63 bytes.
type builder struct {
	dnsmessage.Builder
	name dnsmessage.Name
}

func newBuilder(header dnsmessage.Header, name string) *builder {
	b := dnsmessage.NewBuilder(nil, header)
	b.EnableCompression()
	return &builder{Builder: b, name: dnsmessage.MustNewName(name)}
}

func (b *builder) add(a netip.Addr, class dnsmessage.Class, ttl uint32) {
	header := dnsmessage.ResourceHeader{Name: b.name, Class: class, TTL: ttl}
	var err error
	if a.Is4() {
		err = b.AResource(header, dnsmessage.AResource{A: a.As4()})
	} else {
		err = b.AAAAResource(header, dnsmessage.AAAAResource{AAAA: a.As16()})
	}
	b.must(err)
}

// must is for what can fail only when sections are begun in the wrong order.
func (b *builder) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("mdns: building a message: %v", err))
	}
}

func (b *builder) finish() []byte {
	message, err := b.Finish()
	b.must(err)
	return message
}

// probeMessage asks for all of name, and says what we would answer.
func probeMessage(name string, ours []netip.Addr) []byte {
	b := newBuilder(dnsmessage.Header{}, name)
	b.must(b.StartQuestions())
	b.must(b.Question(dnsmessage.Question{Name: b.name, Type: dnsmessage.TypeALL, Class: classIN | unicastBit}))
	b.must(b.StartAuthorities())
	for _, a := range ours {
		b.add(a, classIN, recordTTL)
	}
	return b.finish()
}

// answerMessage tells all of our addresses; a TTL of 0 takes them back.
func answerMessage(name string, ours []netip.Addr, ttl uint32) []byte {
	b := newBuilder(dnsmessage.Header{Response: true, Authoritative: true}, name)
	b.must(b.StartAnswers())
	for _, a := range ours {
		b.add(a, classIN|flushBit, ttl)
	}
	return b.finish()
}

// answerTo answers what was asked, and adds the rest.
func answerTo(m *message, name string, ours []netip.Addr) []byte {
	b := newBuilder(dnsmessage.Header{Response: true, Authoritative: true}, name)
	b.must(b.StartAnswers())
	found := b.addWanted(m, ours, classIN|flushBit, recordTTL)
	if !found {
		b.deny(ours)
	}
	b.must(b.StartAdditionals())
	for _, a := range ours {
		if !m.wants(a) {
			b.add(a, classIN|flushBit, recordTTL)
		}
	}
	return b.finish()
}

// legacyAnswer answers an ordinary resolver as RFC 6762, 6.7 wants it: with its
// question, its ID, and times to live that it may keep.
func legacyAnswer(m *message, name string, ours []netip.Addr) []byte {
	b := newBuilder(dnsmessage.Header{ID: m.id, Response: true, Authoritative: true}, name)
	b.must(b.StartQuestions())
	b.must(b.Question(m.exact))
	b.must(b.StartAnswers())
	b.addWanted(m, ours, classIN, legacyTTL)
	return b.finish()
}

func (b *builder) addWanted(m *message, ours []netip.Addr, class dnsmessage.Class, ttl uint32) (found bool) {
	for _, a := range ours {
		if m.wants(a) {
			b.add(a, class, ttl)
			found = true
		}
	}
	return found
}

// deny says which kinds of address there are (NSEC, RFC 6762, 6.1), so that
// nobody waits for the others.
func (b *builder) deny(ours []netip.Addr) {
	var bitmap [4]byte // of types 0 to 31
	for _, a := range ours {
		if a.Is4() {
			bitmap[0] |= 0x80 >> dnsmessage.TypeA
		} else {
			bitmap[dnsmessage.TypeAAAA/8] |= 0x80 >> (dnsmessage.TypeAAAA % 8)
		}
	}
	data := packName(b.name)
	data = append(data, 0, byte(len(bitmap)))
	data = append(data, bitmap[:]...)
	header := dnsmessage.ResourceHeader{Name: b.name, Class: classIN | flushBit, TTL: recordTTL}
	b.must(b.UnknownResource(header, dnsmessage.UnknownResource{Type: typeNSEC, Data: data}))
}

// packName is a name on the wire, without compression.
func packName(n dnsmessage.Name) []byte {
	var wire []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(n.String(), "."), ".") {
		wire = append(append(wire, byte(len(label))), label...)
	}
	return append(wire, 0)
}
