package chain

import "sync"

// notices tells those who wait for a receipt what became of it.
type notices struct {
	mu sync.Mutex
	// fates of receipts, by the SHA-256 of their encoding.
	fates map[[32]byte][]chan fate
	// turns of receipts that came before those they follow.
	turns map[waitingKey][]chan struct{}
	// offered counts those who offer a receipt at this moment.
	offered map[waitingKey]int
	// sequences last accepted for a block, by node.
	sequences map[[32]byte]uint64
	// next is closed at the next commit.
	next chan struct{}
}

// A fate is a commit at a height, or a refusal.
type fate struct {
	height int64
	reason string
}

func newNotices() *notices {
	return &notices{
		fates:     make(map[[32]byte][]chan fate),
		turns:     make(map[waitingKey][]chan struct{}),
		offered:   make(map[waitingKey]int),
		sequences: make(map[[32]byte]uint64),
		next:      make(chan struct{}),
	}
}

// wait returns a channel that gets the receipt's fate once it is known, and a
// function to stop waiting.
func (n *notices) wait(key [32]byte) (<-chan fate, func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return register(&n.mu, n.fates, key)
}

func (n *notices) committed(key [32]byte, height int64) { n.send(key, fate{height: height}) }
func (n *notices) refused(key [32]byte, reason string)  { n.send(key, fate{reason: reason}) }

func (n *notices) send(key [32]byte, f fate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ch := range n.fates[key] {
		ch <- f
	}
	delete(n.fates, key)
}

// turn returns a channel that gets a value when the receipt before the node's
// receipt of that number is accepted, and a function to stop waiting.
func (n *notices) turn(key waitingKey) (<-chan struct{}, func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return register(&n.mu, n.turns, key)
}

// accepted notes that a node's receipt waits for a block.
func (n *notices) accepted(node [32]byte, sequence uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sequences[node] = sequence
	key := waitingKey{node, sequence + 1}
	for _, ch := range n.turns[key] {
		ch <- struct{}{}
	}
	delete(n.turns, key)
}

// offer notes that a receipt is offered, until the function it returns is
// called.
func (n *notices) offer(key waitingKey) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.offered[key]++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.offered[key]--; n.offered[key] == 0 {
			delete(n.offered, key)
		}
	}
}

// stuck tells whether the node's receipts do not come any further: none was
// accepted since the one numbered before, and the next is not being offered.
// It also returns the number accepted last.
func (n *notices) stuck(node [32]byte, before uint64) (last uint64, stuck bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	last = n.sequences[node]
	return last, last == before && n.offered[waitingKey{node, last + 1}] == 0
}

// reset notes that of all receipts accepted only those committed are left,
// until they are checked again.
func (n *notices) reset(nodes map[[32]byte]nodeState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, node := range nodes {
		n.sequences[id] = node.sequence
	}
}

// block wakes those who wait for a commit.
func (n *notices) block() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

// nextBlock returns a channel that is closed at the next commit.
func (n *notices) nextBlock() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.next
}

// register adds a channel with room for one value to those of key. The caller
// holds mu.
func register[K comparable, V any](mu *sync.Mutex, m map[K][]chan V, key K) (<-chan V, func()) {
	ch := make(chan V, 1)
	m[key] = append(m[key], ch)
	return ch, func() {
		mu.Lock()
		defer mu.Unlock()
		for i, c := range m[key] {
			if c == ch {
				m[key] = append(m[key][:i:i], m[key][i+1:]...)
				break
			}
		}
		if len(m[key]) == 0 {
			delete(m, key)
		}
	}
}
