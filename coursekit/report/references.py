"""The papers and data sets that a report names: found in its text, listed in full at its end."""

import re

WORKS = {
    "Glorot & Bengio 2010": "X. Glorot, Y. Bengio. Understanding the difficulty of training deep feedforward neural "
    "networks. AISTATS 2010, PMLR 9, 249–256.",
    "Goyal et al. 2017": "P. Goyal, P. Dollár, R. Girshick and others. Accurate, large minibatch SGD: training "
    "ImageNet in 1 hour. arXiv:1706.02677.",
    "He et al. 2015": "K. He, X. Zhang, S. Ren, J. Sun. Delving deep into rectifiers: surpassing human-level "
    "performance on ImageNet classification. ICCV 2015, arXiv:1502.01852.",
    "He et al. 2016": "K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR 2016, "
    "arXiv:1512.03385.",
    "Kingma & Ba 2015": "D. P. Kingma, J. Ba. Adam: a method for stochastic optimization. ICLR 2015, arXiv:1412.6980.",
    "Li et al. 2018": "H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein. Visualizing the loss landscape of neural "
    "nets. NeurIPS 2018, arXiv:1712.09913.",
    "Loshchilov & Hutter 2017": "I. Loshchilov, F. Hutter. SGDR: stochastic gradient descent with warm restarts. "
    "ICLR 2017, arXiv:1608.03983.",
    "Loshchilov & Hutter 2019": "I. Loshchilov, F. Hutter. Decoupled weight decay regularization. ICLR 2019, "
    "arXiv:1711.05101.",
    "Parikh & Boyd 2014": "N. Parikh, S. Boyd. Proximal algorithms. Foundations and Trends in Optimization 1 (3), "
    "127–239, 2014.",
    "Smith & Topin 2018": "L. N. Smith, N. Topin. Super-convergence: very fast training of neural networks using "
    "large learning rates. arXiv:1708.07120.",
}
DATA = {
    "cifar10": "CIFAR-10: A. Krizhevsky. Learning multiple layers of features from tiny images. Technical report, "
    "University of Toronto, 2009.",
    "letters": "Letters: R. Kassel. Optical character recognition data set, MIT Spoken Language Systems Group.",
    "mnist": "MNIST: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document "
    "recognition. Proceedings of the IEEE 86 (11), 2278–2324, 1998.",
}
CITATION = re.compile(r"\b[A-Z][\w’-]+ (?:et al\.|(?:&|and) [A-Z][\w’-]+),? (?:19|20)\d\d\b")


def cited(text: str) -> list[str]:
    """In full and in order, the works that `text` cites as "Name & Name 2000" or "Name et al. 2000"."""
    found = {" ".join(match.replace(",", "").split()) for match in CITATION.findall(text)}
    return [WORKS[name] for name in sorted(found & WORKS.keys())]


def of_data(names) -> list[str]:
    """Where the data sets of these names come from; nothing for a name that is unknown."""
    return [DATA[name] for name in sorted(DATA.keys() & set(names))]
