/*
 * Workers end with their host, however it ends. The host holds one end of a
 * pipe and the worker the other: when the host dies, even by SIGKILL, the
 * kernel closes its end and sends the worker a signal, in whose handler the
 * worker kills its process group: itself and whatever its tasks have started.
 */
#ifndef LP__LIFELINE_H
#define LP__LIFELINE_H

/* Holds on to the descriptor whose number is in LAMBDAPOOL_LIFELINE. Returns
 * 1; 0 when the variable is not set: the agent was not started by a lambdapool
 * host. Ends the process when the host is gone already. */
int lp__lifeline_hold(void);

#endif
