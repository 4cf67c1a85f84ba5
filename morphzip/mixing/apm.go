package mixing

// apmStep is the distance of an APM's points, in 1/256 of a logit, apmPoints how
// many they are: from −MaxLogit to beyond MaxLogit.
const (
	apmStep   = 256
	apmPoints = 24
)

// APM (adaptive probability map, secondary symbol estimation) refines a
// prediction by what happened when a like one was made in the same context: in
// each context a curve of the probability over the predicted logit, between
// points that move towards what happens.
type APM struct {
	curves [][apmPoints]uint16
	curve  *[apmPoints]uint16
	point  int
	rate   uint
}

// NewAPM returns one for as many contexts, which learns by 1/2^rate.
func NewAPM(contexts int, rate uint) *APM {
	a := &APM{curves: make([][apmPoints]uint16, contexts), rate: rate}
	a.Reset()
	return a
}

// Reset makes every curve the identity again.
func (a *APM) Reset() {
	for j := range apmPoints {
		a.curves[0][j] = uint16(Squash(j*apmStep - MaxLogit))
	}
	for i := 1; i < len(a.curves); i++ {
		a.curves[i] = a.curves[0]
	}
	a.curve = &a.curves[0]
}

// Refine returns the probability, in [1,65535], that a logit in ±MaxLogit stands
// for in a context, below their number.
func (a *APM) Refine(logit, context int) int {
	a.curve = &a.curves[context]
	x := uint(logit + MaxLogit)
	point, part := x/apmStep%64, x%apmStep
	a.point = int(point)
	if part >= apmStep/2 {
		a.point++
	}
	if point >= apmPoints-1 {
		return int(a.curve[apmPoints-1])
	}
	p := (uint(a.curve[point])*(apmStep-part) + uint(a.curve[point+1])*part) / apmStep
	return int(max(p, 1))
}

// Update moves the point nearest to the last prediction towards the bit.
func (a *APM) Update(bit int) {
	p := &a.curve[uint(a.point)%apmPoints]
	if bit != 0 {
		*p += (65535 - *p) >> a.rate
	} else {
		*p -= *p >> a.rate
	}
}
