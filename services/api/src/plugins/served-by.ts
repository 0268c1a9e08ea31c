import fp from 'fastify-plugin'

/** Names the replica and the request in every answer: how a client sees that it was not the same server twice. */
export const servedBy = fp<{ replicaName: string }>(
  async (app, { replicaName }) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-served-by', replicaName).header('x-request-id', request.id)
      done()
    })
  },
  { name: 'served-by' }
)
