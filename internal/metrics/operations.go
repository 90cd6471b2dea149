package metrics

import (
	"authsvc/internal/poolevent"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// opMetrics are the metrics of a login's calls of the pool: connections and operations. Every
// series is resolved once, here.
type opMetrics struct {
	lanes [laneCount]laneMetrics
	ops   [opCount]operationMetrics
}

type laneMetrics struct {
	wait    prometheus.Observer
	refused map[string]prometheus.Counter // by refusal; read only
}

type operationMetrics struct {
	took     map[string]prometheus.Observer // by result; read only
	answered prometheus.Observer            // took[poolevent.Answer], the one on every login's path
	codes    map[uint16]prometheus.Counter  // by LDAP result code; read only
	other    prometheus.Counter             // a code that is not in codes
	none     prometheus.Counter             // no answer, so no code
	retries  prometheus.Counter
}

// The two operations, as indexes.
const (
	searchOp = iota
	bindOp

	opCount
)

// opIndex maps OperationEvent.Op. There are two.
func opIndex(op string) int {
	if op == "bind" {
		return bindOp
	}
	return searchOp
}

// The two lanes, as indexes.
const (
	searchLane = iota
	bindLane

	laneCount
)

func laneIndex(l ldappool.Lane) int {
	if l == ldappool.BindLane {
		return bindLane
	}
	return searchLane
}

// lanes are the lanes by index.
func lanes() [laneCount]ldappool.Lane {
	return [laneCount]ldappool.Lane{searchLane: ldappool.SearchLane, bindLane: ldappool.BindLane}
}

// resultCodes are the LDAP result codes that have a series of their own, by their names in RFC 4511
// section 4.1.9: those that a search or a simple bind can end in. All others are "other".
func resultCodes() map[uint16]string {
	return map[uint16]string{
		ldap.LDAPResultSuccess:                      "success",
		ldap.LDAPResultOperationsError:              "operationsError",
		ldap.LDAPResultProtocolError:                "protocolError",
		ldap.LDAPResultTimeLimitExceeded:            "timeLimitExceeded",
		ldap.LDAPResultSizeLimitExceeded:            "sizeLimitExceeded",
		ldap.LDAPResultStrongAuthRequired:           "strongerAuthRequired",
		ldap.LDAPResultReferral:                     "referral",
		ldap.LDAPResultAdminLimitExceeded:           "adminLimitExceeded",
		ldap.LDAPResultUnavailableCriticalExtension: "unavailableCriticalExtension",
		ldap.LDAPResultConfidentialityRequired:      "confidentialityRequired",
		ldap.LDAPResultConstraintViolation:          "constraintViolation",
		ldap.LDAPResultNoSuchObject:                 "noSuchObject",
		ldap.LDAPResultInvalidDNSyntax:              "invalidDNSyntax",
		ldap.LDAPResultInappropriateAuthentication:  "inappropriateAuthentication",
		ldap.LDAPResultInvalidCredentials:           "invalidCredentials",
		ldap.LDAPResultInsufficientAccessRights:     "insufficientAccessRights",
		ldap.LDAPResultBusy:                         "busy",
		ldap.LDAPResultUnavailable:                  "unavailable",
		ldap.LDAPResultUnwillingToPerform:           "unwillingToPerform",
	}
}

func newOpMetrics(f promauto.Factory, bounds []float64) *opMetrics {
	m := new(opMetrics)
	m.registerLanes(f, bounds)
	m.registerOps(f, bounds)
	return m
}

func (m *opMetrics) registerLanes(f promauto.Factory, bounds []float64) {
	wait := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "authsvc_ldap_acquire_wait_seconds",
		Help:    "Time that callers waited for a connection that they got, including dialing.",
		Buckets: bounds,
	}, []string{"lane"})
	refused := f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_ldap_acquire_refused_total",
		Help: "Callers that were rejected without a connection, by reason.",
	}, []string{"lane", "reason"})
	for i, lane := range lanes() {
		byReason := make(map[string]prometheus.Counter)
		for _, reason := range poolevent.Refusals() {
			byReason[reason] = refused.WithLabelValues(string(lane), reason)
		}
		m.lanes[i] = laneMetrics{wait: wait.WithLabelValues(string(lane)), refused: byReason}
	}
}

func (m *opMetrics) registerOps(f promauto.Factory, bounds []float64) {
	took := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "authsvc_ldap_operation_duration_seconds",
		Help:    "Time from each sending of a request to its answer or failure.",
		Buckets: bounds,
	}, []string{"op", "result"})
	codes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_ldap_operations_total",
		Help: "Requests sent, by the LDAP result code of the answer, or none without an answer.",
	}, []string{"op", "code"})
	retries := f.NewCounterVec(prometheus.CounterOpts{
		Name: "authsvc_ldap_retries_total",
		Help: "Requests that were retried because their connection was lost.",
	}, []string{"op"})
	for i, op := range [opCount]string{searchOp: "search", bindOp: "bind"} {
		byResult := make(map[string]prometheus.Observer)
		for _, result := range poolevent.Results() {
			byResult[result] = took.WithLabelValues(op, result)
		}
		byCode := make(map[uint16]prometheus.Counter)
		for code, name := range resultCodes() {
			byCode[code] = codes.WithLabelValues(op, name)
		}
		m.ops[i] = operationMetrics{
			took:     byResult,
			answered: byResult[poolevent.Answer],
			codes:    byCode,
			other:    codes.WithLabelValues(op, "other"),
			none:     codes.WithLabelValues(op, "none"),
			retries:  retries.WithLabelValues(op),
		}
	}
}

func (m *opMetrics) acquired(e ldappool.AcquireEvent, exemplar prometheus.Labels) {
	lane := &m.lanes[laneIndex(e.Lane)]
	if e.Err != nil {
		lane.refused[poolevent.Refusal(e.Err)].Inc()
		return
	}
	observe(lane.wait, e.Wait.Seconds(), exemplar)
}

func (m *opMetrics) operated(e ldappool.OperationEvent, exemplar prometheus.Labels) {
	op := &m.ops[opIndex(e.Op)]
	if e.Retry {
		op.retries.Inc()
	}
	if e.Err != nil {
		op.none.Inc()
		observe(op.took[poolevent.Failure(e.Err)], e.Took.Seconds(), exemplar)
		return
	}
	observe(op.answered, e.Took.Seconds(), exemplar)
	if code, ok := op.codes[e.Code]; ok {
		code.Inc()
		return
	}
	op.other.Inc()
}
