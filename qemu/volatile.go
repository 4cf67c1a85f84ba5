package qemu

import (
	bin "encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// VolatileDisk is a disk whose cache loses its contents with the power: what the
// guest has not flushed is in memory, and PowerCut lets a random part of it
// reach the disk. QEMU reaches it as a network block device (NBD) on a unix
// socket; it outlives QEMU, so that a machine that is started again finds it as
// the cut left it.
type VolatileDisk struct {
	file     *os.File
	size     int64
	listener net.Listener
	served   sync.WaitGroup // the listener
	talks    sync.WaitGroup // the conversations

	mu    sync.Mutex
	cache map[int64][]byte // sectors not flushed, by number
	err   error            // of the file; the disk is of no use after it
}

// Sectors are written whole or not at all, as disks promise.
const volatileSector = 512

// maxVolatile is how many sectors the cache holds: 32 MiB. When there are more, all
// are written, as a disk does that runs out of cache.
const maxVolatile = 65536

// NewVolatileDisk serves the raw disk at path, on a socket in dir.
func NewVolatileDisk(path, dir string) (*VolatileDisk, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size()%volatileSector != 0 {
		err = fmt.Errorf("%s has %d bytes: no whole sectors", path, info.Size())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("qemu: %w", err), f.Close())
	}
	l, err := net.Listen("unix", filepath.Join(dir, "disk.nbd"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("qemu: %w", err), f.Close())
	}
	d := &VolatileDisk{file: f, size: info.Size(), listener: l, cache: make(map[int64][]byte)}
	d.served.Add(1)
	go d.accept()
	return d, nil
}

// Address is for QEMU.
func (d *VolatileDisk) Address() string { return "nbd:unix:" + d.listener.Addr().String() }

// PowerCut loses what is not flushed, but for a random part: each sector survives
// with that probability. The machine has to be off. It says how many sectors
// were not flushed, and how many of them were lost.
func (d *VolatileDisk) PowerCut(random *rand.Rand, survive float64) (unflushed, lost int, err error) {
	d.talks.Wait() // for what QEMU had sent
	d.mu.Lock()
	defer d.mu.Unlock()
	unflushed = len(d.cache)
	for n, sector := range d.cache {
		if random.Float64() >= survive {
			lost++
			continue
		}
		if _, err := d.file.WriteAt(sector, n*volatileSector); err != nil && d.err == nil {
			d.err = err
		}
	}
	clear(d.cache)
	return unflushed, lost, d.err
}

// Close ends the service. What is in the cache is lost.
func (d *VolatileDisk) Close() error {
	err := d.listener.Close()
	d.served.Wait()
	d.talks.Wait()
	return errors.Join(err, d.file.Close(), d.err)
}

func (d *VolatileDisk) accept() {
	defer d.served.Done()
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return // closed
		}
		d.talks.Add(1)
		go func() {
			defer d.talks.Done()
			defer conn.Close()
			// QEMU ends the conversation when it ends, or is killed.
			_ = d.serve(conn)
		}()
	}
}

// read reads with what is in the cache.
func (d *VolatileDisk) read(p []byte, at int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.file.ReadAt(p, at); err != nil {
		return err
	}
	for s := at / volatileSector; s*volatileSector < at+int64(len(p)); s++ {
		if sector, ok := d.cache[s]; ok {
			begin := s*volatileSector - at
			copy(p[max(begin, 0):], sector[max(-begin, 0):])
		}
	}
	return nil
}

// write puts whole sectors into the cache.
func (d *VolatileDisk) write(p []byte, at int64) error {
	if at%volatileSector != 0 || len(p)%volatileSector != 0 {
		return errors.New("not whole sectors")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; len(p) > 0; p, at = p[volatileSector:], at+volatileSector {
		d.cache[at/volatileSector] = append([]byte(nil), p[:volatileSector]...)
	}
	if len(d.cache) > maxVolatile {
		return d.flushLocked()
	}
	return nil
}

func (d *VolatileDisk) flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flushLocked()
}

func (d *VolatileDisk) flushLocked() error {
	for n, sector := range d.cache {
		if _, err := d.file.WriteAt(sector, n*volatileSector); err != nil {
			d.err = err
			return err
		}
	}
	clear(d.cache)
	return nil
}

// The network block device protocol, as far as QEMU uses it: fixed newstyle
// negotiation, simple replies
// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md).
const (
	nbdMagic        = 0x4e42444d41474943 // "NBDMAGIC"
	nbdHaveOption   = 0x49484156454f5054 // "IHAVEOPT"
	nbdOptionReply  = 0x3e889045565a9
	nbdRequestMagic = 0x25609513
	nbdReplyMagic   = 0x67446698

	nbdFixedNewstyle = 1 << 0
	nbdNoZeroes      = 1 << 1

	nbdOptExportName = 1
	nbdOptAbort      = 2
	nbdOptGo         = 7

	nbdReplyAck         = 1
	nbdReplyInfo        = 3
	nbdReplyUnsupported = 1<<31 + 1

	nbdFlags = 1<<0 | 1<<2 | 1<<3 // has flags, flush, FUA

	nbdRead       = 0
	nbdWrite      = 1
	nbdDisconnect = 2
	nbdFlush      = 3
	nbdFUA        = 1 << 0 // of a request's flags

	nbdEIO    = 5
	nbdEINVAL = 22

	nbdMaxRequest = 64 << 20
)

// serve is one conversation.
func (d *VolatileDisk) serve(conn net.Conn) error {
	if err := d.negotiate(conn); err != nil {
		return err
	}
	for {
		var request struct {
			Magic       uint32
			Flags, Type uint16
			Handle      uint64
			Offset      uint64
			Length      uint32
		}
		if err := bin.Read(conn, bin.BigEndian, &request); err != nil {
			return err
		}
		if request.Magic != nbdRequestMagic || request.Length > nbdMaxRequest {
			return errors.New("nbd: not a request")
		}
		at, length := int64(request.Offset), int64(request.Length)
		inside := at >= 0 && at+length <= d.size
		var data []byte
		var err error
		switch request.Type {
		case nbdRead:
			data = make([]byte, length)
			if inside {
				err = d.read(data, at)
			}
		case nbdWrite:
			payload := make([]byte, length)
			if _, err := io.ReadFull(conn, payload); err != nil {
				return err // cut off: none of it reached the disk
			}
			if inside {
				err = d.write(payload, at)
			}
			if err == nil && request.Flags&nbdFUA != 0 {
				err = d.flush()
			}
		case nbdFlush:
			inside, err = true, d.flush()
		case nbdDisconnect:
			return nil
		default:
			inside = false
		}
		code := uint32(0)
		switch {
		case !inside:
			code = nbdEINVAL
		case err != nil:
			code = nbdEIO
		}
		reply := bin.BigEndian.AppendUint32(nil, nbdReplyMagic)
		reply = bin.BigEndian.AppendUint32(reply, code)
		reply = bin.BigEndian.AppendUint64(reply, request.Handle)
		if code == 0 {
			reply = append(reply, data...)
		}
		if _, err := conn.Write(reply); err != nil {
			return err
		}
	}
}

// negotiate tells the client of the one export there is.
func (d *VolatileDisk) negotiate(conn net.Conn) error {
	be := bin.BigEndian
	hello := be.AppendUint64(be.AppendUint64(nil, nbdMagic), nbdHaveOption)
	if _, err := conn.Write(be.AppendUint16(hello, nbdFixedNewstyle|nbdNoZeroes)); err != nil {
		return err
	}
	var flags uint32
	if err := bin.Read(conn, be, &flags); err != nil {
		return err
	}
	export := be.AppendUint16(be.AppendUint64(nil, uint64(d.size)), nbdFlags)
	for {
		var option struct {
			Magic        uint64
			Option, Size uint32
		}
		if err := bin.Read(conn, be, &option); err != nil {
			return err
		}
		if option.Magic != nbdHaveOption || option.Size > 4096 {
			return errors.New("nbd: not an option")
		}
		if _, err := io.CopyN(io.Discard, conn, int64(option.Size)); err != nil {
			return err
		}
		reply := func(kind uint32, data []byte) error {
			b := be.AppendUint64(nil, nbdOptionReply)
			b = be.AppendUint32(be.AppendUint32(be.AppendUint32(b, option.Option), kind), uint32(len(data)))
			_, err := conn.Write(append(b, data...))
			return err
		}
		switch option.Option {
		case nbdOptExportName:
			if flags&nbdNoZeroes == 0 {
				export = append(export, make([]byte, 124)...)
			}
			_, err := conn.Write(export)
			return err
		case nbdOptGo:
			// NBD_INFO_EXPORT is 0.
			if err := reply(nbdReplyInfo, append([]byte{0, 0}, export...)); err != nil {
				return err
			}
			return reply(nbdReplyAck, nil)
		case nbdOptAbort:
			return errors.Join(reply(nbdReplyAck, nil), net.ErrClosed)
		default:
			if err := reply(nbdReplyUnsupported, nil); err != nil {
				return err
			}
		}
	}
}
