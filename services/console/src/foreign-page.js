/* global fetch, parent */
// Runs in a frame that shares nothing with the page around it: for the browser it is a page of somebody else.
void fetch('/auth/logout', { method: 'POST', mode: 'no-cors', credentials: 'include' })
  .then(({ type }) => type, String)
  .then((answer) => parent.postMessage({ otherSite: answer }, '*'))
