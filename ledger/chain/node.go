// Package chain is the ledger: a CometBFT node and the application that keeps
// receipts in an RFC 9162 Merkle tree. Everything is in one home folder; all
// of CometBFT's stores and the application's are buckets of one bbolt file.
//
// There is one validator, this node. It listens to no network.
package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	cfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/evidence"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	sm "github.com/cometbft/cometbft/state"
	cmtstore "github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"

	"github.com/entroos/entroos/ledger/boltdb"
	"github.com/entroos/entroos/ledger/proof"
)

// Config of a Node.
type Config struct {
	// Home is the folder that holds all of the ledger; it is made if missing.
	Home string
	// ChainID names the ledger: at most 32 printable ASCII characters.
	ChainID string
	// Node is the Ed25519 public key of the node that writes receipts.
	Node [32]byte
	// Logger takes the log; nil means slog.Default().
	Logger *slog.Logger

	keep int64 // blocks kept; keepBlocks if 0
}

// A Node is a running ledger.
type Node struct {
	config  Config
	genesis *proof.Genesis
	file    *boltdb.File
	store   *store
	app     *application
	blocks  *cmtstore.BlockStore
	mempool *mempool.CListMempool
	wal     *walSweeper

	offering sync.Mutex // held while a receipt goes into the mempool

	stop   []func() error // in reverse order of starting
	done   chan struct{}
	closed sync.Once
	quit   chan struct{}
	wait   sync.WaitGroup
}

// Open opens the ledger in the home folder, or begins one, and starts it. It
// returns once all blocks that a crash left half done are done. An error that
// wraps ErrIdentity says that the folder is another ledger's.
func Open(config Config) (n *Node, err error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	n = &Node{config: config, done: make(chan struct{}), quit: make(chan struct{})}
	defer func() {
		if r := recover(); r != nil { // CometBFT panics when its stores do not agree
			err = fmt.Errorf("ledger: %v", r)
		}
		if err != nil {
			err = errors.Join(err, n.shutdown())
			n = nil
		}
	}()
	genesis, validator, err := loadIdentity(config.Home, config.ChainID, config.Node)
	if err != nil {
		return n, err
	}
	n.genesis = genesis
	if err := n.openStores(); err != nil {
		return n, err
	}
	return n, n.start(validator)
}

func (n *Node) openStores() error {
	file, err := boltdb.Open(filepath.Join(n.config.Home, databaseFile))
	if err != nil {
		return err
	}
	n.file = file
	n.stop = append(n.stop, file.Close)
	store, current, err := openStore(file, n.genesis)
	if err != nil {
		return err
	}
	n.store = store
	n.app = newApplication(n.genesis, store, current)
	if n.config.keep > 0 {
		n.app.keep = n.config.keep
	}
	return nil
}

// start puts CometBFT's parts together as its own node does, without those
// for peers, remote callers and indexes.
func (n *Node) start(validator *privval.FilePV) error {
	log := logger{n.config.Logger}
	config := n.cometConfig()

	stateDB, err := n.file.Store("state")
	if err != nil {
		return err
	}
	blockDB, err := n.file.Store("blockstore")
	if err != nil {
		return err
	}
	evidenceDB, err := n.file.Store("evidence")
	if err != nil {
		return err
	}
	n.blocks = cmtstore.NewBlockStore(blockDB)
	states := sm.NewStore(stateStore{stateDB}, sm.StoreOptions{DiscardABCIResponses: true})

	conns := proxy.NewAppConns(proxy.NewLocalClientCreator(n.app), proxy.NopMetrics())
	conns.SetLogger(log.With("module", "proxy"))
	if err := n.startService(conns); err != nil {
		return err
	}
	events := types.NewEventBus()
	events.SetLogger(log.With("module", "events"))
	if err := n.startService(events); err != nil {
		return err
	}
	state, err := n.handshake(states, conns, events, log)
	if err != nil {
		return err
	}
	// The validator signs no height twice, so from a store that lost blocks it
	// would never go on.
	if signed := validator.LastSignState.Height; signed > state.LastBlockHeight+1 {
		return fmt.Errorf("ledger: the validator has signed block %d, but the newest in %s is %d: the file is lost or an old copy",
			signed, n.file.Path(), state.LastBlockHeight)
	}

	n.mempool = mempool.NewCListMempool(config.Mempool, conns.Mempool(), state.LastBlockHeight,
		mempool.WithPreCheck(sm.TxPreCheck(state)), mempool.WithPostCheck(sm.TxPostCheck(state)))
	n.mempool.SetLogger(log.With("module", "mempool"))
	n.mempool.EnableTxsAvailable()
	pool, err := evidence.NewPool(evidenceDB, states, n.blocks)
	if err != nil {
		return fmt.Errorf("ledger: evidence: %w", err)
	}
	pool.SetLogger(log.With("module", "evidence"))
	executor := sm.NewBlockExecutor(states, log.With("module", "state"), conns.Consensus(), n.mempool, pool, n.blocks,
		sm.BlockExecutorWithBlockTimeTolerance(config.Consensus.BlockTimeTolerance))

	cs := consensus.NewState(config.Consensus, state.Copy(), executor, n.blocks, n.mempool, pool)
	cs.SetLogger(log.With("module", "consensus"))
	cs.SetPrivValidator(validator)
	reactor := consensus.NewReactor(cs, false)
	reactor.SetLogger(log.With("module", "consensus"))
	reactor.SetEventBus(events)
	n.wal = newWALSweeper(config.Consensus.WalFile(), n.config.Logger)
	if err := n.startSwitch(config, reactor); err != nil {
		return err
	}
	stopped := make(chan struct{})
	n.wait.Go(func() {
		cs.Wait()
		close(stopped)
	})
	n.wait.Go(func() {
		defer close(n.done)
		select {
		case <-stopped:
		case <-n.file.Damaged(): // whether or not consensus has read of it yet
		}
	})
	n.wait.Go(func() { n.wal.run(n.quit, n.app.notices.nextBlock, n.blocks.Height) })
	return nil
}

// service is a part of CometBFT that is started and stopped.
type service interface {
	Start() error
	Stop() error
}

func (n *Node) startService(s service) error {
	if err := s.Start(); err != nil {
		return fmt.Errorf("ledger: start %v: %w", s, err)
	}
	n.stop = append(n.stop, s.Stop)
	return nil
}

// handshake brings the application and CometBFT's state to the newest block
// stored, and returns the state.
func (n *Node) handshake(states sm.Store, conns proxy.AppConns, events *types.EventBus, log logger) (sm.State, error) {
	state, err := states.LoadFromDBOrGenesisDoc(n.genesis.Doc)
	if err != nil {
		return sm.State{}, fmt.Errorf("ledger: state: %w", err)
	}
	h := consensus.NewHandshaker(states, state, n.blocks, n.genesis.Doc)
	h.SetLogger(log.With("module", "handshake"))
	h.SetEventBus(events)
	if err := h.Handshake(conns); err != nil {
		return sm.State{}, fmt.Errorf("ledger: replay: %w", err)
	}
	if err := n.app.flush(); err != nil {
		return sm.State{}, err
	}
	if state, err = states.Load(); err != nil {
		return sm.State{}, fmt.Errorf("ledger: state: %w", err)
	}
	return state, nil
}

// startSwitch starts consensus. Its reactor needs a switch for peers; this
// one's transport never listens.
func (n *Node) startSwitch(config *cfg.Config, reactor *consensus.Reactor) error {
	key := p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
	info := p2p.DefaultNodeInfo{DefaultNodeID: key.ID(), Network: n.config.ChainID}
	transport := p2p.NewMultiplexTransport(info, key, p2p.MConnConfig(config.P2P))
	sw := p2p.NewSwitch(config.P2P, transport)
	sw.SetLogger(cmtlog.NewNopLogger()) // it has no peers to tell of, and calls its end an error
	sw.SetNodeInfo(info)
	sw.SetNodeKey(&key)
	sw.AddReactor("CONSENSUS", reactor)
	n.stop = append(n.stop, transport.Close)
	return n.startService(sw)
}

func (n *Node) cometConfig() *cfg.Config {
	c := cfg.DefaultConfig()
	c.SetRoot(n.config.Home)
	c.Mempool.Broadcast = false
	c.Mempool.MaxTxBytes = 1 << 10
	c.Mempool.MaxTxsBytes = 8 << 20
	c.Mempool.CacheSize = maxVerified
	c.Consensus.SetWalFile(filepath.Join(n.config.Home, walFolder, "wal"))
	c.Consensus.CreateEmptyBlocks = false
	c.Consensus.SkipTimeoutCommit = true
	c.Consensus.TimeoutCommit = 0
	// The only validator is this one. Its proposal comes after three synced
	// writes or, when the one before was cut short by a crash after signing, not
	// at all; and there are no votes of others to wait for.
	c.Consensus.TimeoutPropose = time.Second
	c.Consensus.TimeoutPrevote = 50 * time.Millisecond
	c.Consensus.TimeoutPrecommit = 50 * time.Millisecond
	// A box's clock may have been set back since the last block.
	c.Consensus.BlockTimeTolerance = 100 * 365 * 24 * time.Hour
	return c
}

// Done is closed when the node's work has ended, be it by Close or by a failure.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is the failure, after Done: damage to the ledger's file, else one of
// consensus, of which the log tells.
func (n *Node) Err() error {
	if err := n.file.Damage(); err != nil {
		return err
	}
	return errors.New("consensus has stopped")
}

// Genesis returns the ledger's genesis.
func (n *Node) Genesis() *proof.Genesis { return n.genesis }

// settleTime bounds the wait of Close for a block under way.
const settleTime = 2 * time.Second

// Close stops the node. All that was committed is on disk in any case; a block
// under way is waited for, so that the next start does not find half of it.
func (n *Node) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	for {
		next := n.app.notices.nextBlock()
		if n.idle() {
			break
		}
		select {
		case <-next:
			continue
		case <-ctx.Done():
		case <-n.done:
		}
		break
	}
	return n.shutdown()
}

// idle tells whether no receipt waits for a block, nor a block for the one
// that proves it.
func (n *Node) idle() bool {
	idle := true
	err := n.store.view(func(v *view) error {
		current, _, err := v.states()
		idle = current != nil && (current.last.count == 0 || current.last.height < current.height)
		return err
	})
	return err != nil || (idle && n.mempool.Size() == 0)
}

func (n *Node) shutdown() (err error) {
	n.closed.Do(func() {
		close(n.quit)
		for i := len(n.stop) - 1; i >= 0; i-- {
			err = errors.Join(err, n.stop[i]())
			if i == 1 { // the file closes last, when nothing reads it
				n.wait.Wait()
			}
		}
	})
	return err
}
