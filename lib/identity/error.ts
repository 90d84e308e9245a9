import { OnehopError } from '../base/error.js';

/** A key, a certificate or an authority that cannot be used; code `ERR_ONEHOP_IDENTITY`. */
export class IdentityError extends OnehopError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_ONEHOP_IDENTITY', message, options);
  }
}
